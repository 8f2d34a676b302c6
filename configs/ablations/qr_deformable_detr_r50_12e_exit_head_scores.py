"""Exit heads on scores alone, the rest as in the default. QR-DETR Table 1, Sec. 4.1.

mim train mmdet_qrpaq \
    configs/ablations/qr_deformable_detr_r50_12e_exit_head_scores.py \
    --gpus 8 --launcher pytorch
Rule: Eq. 6 (`ThresholdPolicy`). Gradient: exit heads, into decoder and backbone, too.
'These exit-heads project score values' read as: they see nothing of the queries. With
all that the text says beside: qr_deformable_detr_r50_12e_literal.py.
Expected (paper): AP 43.1, if this is what the paper means.
Measured: not run.
"""

_base_ = '../qr_deformable_detr_r50_12e.py'

model = dict(query_routing=dict(_delete_=True, **_base_.eeqr_scores))
