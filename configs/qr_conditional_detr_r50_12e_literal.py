"""QR-Conditional-DETR to the letter of the paper, ResNet-50, 300 queries, 12 epochs.

QR-DETR Table 1, row 'QR-Conditional-DETR'.
Rule: Eq. 6, each query by itself (`ThresholdPolicy`). Gradient: exit heads, one a
layer, on the scores alone, for the router alone (Sec. 4.1). A bypassing query is no
prediction of its layer (Sec. 1, 4.2b); its box stays, as references are fixed.
mim train mmdet_qrpaq configs/qr_conditional_detr_r50_12e_literal.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 39.9, AP50 60.9, AP75 41.4 on COCO val2017; Conditional-DETR 36.6.
Measured: not run.
"""

_base_ = './qr_conditional_detr_r50_12e.py'

model = dict(query_routing=dict(_delete_=True, **_base_.eeqr_literal))
