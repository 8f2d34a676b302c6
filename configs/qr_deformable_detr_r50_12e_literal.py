"""QR-Deformable-DETR to the letter of the paper, ResNet-50, 300 queries, 12 epochs.

QR-DETR Table 1, row 'QR-Deformable-DETR'.
Rule: Eq. 6, each query by itself (`ThresholdPolicy`). Gradient: exit heads, one a
layer, on the scores alone, for the router alone (Sec. 4.1). A bypassing query is no
prediction of its layer (Sec. 1, 4.2b); its box stays, as references are fixed.
mim train mmdet_qrpaq configs/qr_deformable_detr_r50_12e_literal.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 43.1, AP50 62.2, AP75 46.4 on COCO val2017; Deformable-DETR 38.3.
Measured: not run.
"""

_base_ = './qr_deformable_detr_r50_12e.py'

model = dict(query_routing=dict(_delete_=True, **_base_.eeqr_literal))
