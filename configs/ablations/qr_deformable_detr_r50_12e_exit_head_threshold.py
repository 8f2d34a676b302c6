"""The paper's rule, taught by exit heads on the queries. QR-DETR Table 1, Sec. 4.1.

mim train mmdet_qrpaq \
    configs/ablations/qr_deformable_detr_r50_12e_exit_head_threshold.py \
    --gpus 8 --launcher pytorch
Rule: Eq. 6 (`ThresholdPolicy`). Gradient: exit heads, which see the queries times their
score. In small, nearly all queries of a site get one answer.
Expected (paper): AP 43.1, AP50 62.2, AP75 46.4 on COCO val2017, as the row of Table 1.
Measured: not run.
"""

_base_ = '../qr_deformable_detr_r50_12e.py'

model = dict(query_routing=dict(_delete_=True, **_base_.eeqr_scaled_query))
