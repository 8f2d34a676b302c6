"""Every layer routes around self-attention. QR-DETR Table 4, row 'EEQR_SA'.

mim train mmdet_qrpaq \
    configs/ablations/qr_deformable_detr_r50_12e_self_attn_only.py \
    --gpus 8 --launcher pytorch
Rule: `StandardizedPolicy`, which sets the share (0.69). Gradient: straight-through.
Expected (paper): AP 40.6, AP50 58.7, AP75 44.1 on COCO val2017.
All three sites in turn: 43.1; none: 38.3.
Measured: not run.
"""

_base_ = '../qr_deformable_detr_r50_12e.py'

model = dict(query_routing=dict(schedule=('self_attn',)))
