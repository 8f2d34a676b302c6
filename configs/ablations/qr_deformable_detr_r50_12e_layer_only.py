"""Every layer routes around the whole layer. QR-DETR Table 4, row 'EEQR_F'.

mim train mmdet_qrpaq \
    configs/ablations/qr_deformable_detr_r50_12e_layer_only.py \
    --gpus 8 --launcher pytorch
Rule: `StandardizedPolicy`, which sets the share (0.69). Gradient: straight-through.
Expected (paper): AP 23.1, AP50 36.5, AP75 24.8 on COCO val2017.
All three sites in turn: 43.1; none: 38.3.
Measured: not run.
"""

_base_ = '../qr_deformable_detr_r50_12e.py'

model = dict(query_routing=dict(schedule=('layer',)))
