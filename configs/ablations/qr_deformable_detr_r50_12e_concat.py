"""Queries that entered stay in front. QR-DETR Table 5, row 'Concatenation'.

mim train mmdet_qrpaq \
    configs/ablations/qr_deformable_detr_r50_12e_concat.py \
    --gpus 8 --launcher pytorch
Rule: `StandardizedPolicy`, which sets the share (0.69). Gradient: straight-through.
Expected (paper): AP 19.1 on COCO val2017; scattering 43.1.
Measured: not run.
"""

_base_ = '../qr_deformable_detr_r50_12e.py'

model = dict(query_routing=dict(regroup='concat'))
