"""Every layer routes around cross-attention. QR-DETR Table 4, row 'EEQR_CA'.

mim train mmdet_qrpaq \
    configs/ablations/qr_deformable_detr_r50_12e_cross_attn_only.py \
    --gpus 8 --launcher pytorch
Rule: `StandardizedPolicy`, which sets the share (0.69). Gradient: straight-through.
Expected (paper): AP 32.5, AP50 50.3, AP75 35.5 on COCO val2017.
All three sites in turn: 43.1; none: 38.3.
Measured: not run.
"""

_base_ = '../qr_deformable_detr_r50_12e.py'

model = dict(query_routing=dict(schedule=('cross_attn',)))
