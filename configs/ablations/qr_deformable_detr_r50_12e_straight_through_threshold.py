"""The paper's rule, taught without exit heads. Not in the papers.

mim train mmdet_qrpaq \
    configs/ablations/qr_deformable_detr_r50_12e_straight_through_threshold.py \
    --gpus 8 --launcher pytorch
Rule: Eq. 6 (`ThresholdPolicy`). Gradient: straight-through.
Beside exit_head_threshold it shows what the exit heads do.
Measured: not run.
"""

_base_ = '../qr_deformable_detr_r50_12e.py'

model = dict(
    query_routing=dict(
        policy=dict(_delete_=True, type='ThresholdPolicy'),
        gradient='straight_through',
    )
)
