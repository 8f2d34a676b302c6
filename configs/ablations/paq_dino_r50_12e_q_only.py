"""Quality-aware assignment alone. PaQ-DETR Table 6, row 'Q'.

mim train mmdet_qrpaq configs/ablations/paq_dino_r50_12e_q_only.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 51.1, AP50 68.4, AP75 55.5, Gini 0.95; DINO++ 50.3, Gini 0.97.
Measured: not run.
"""

_base_ = '../dino_r50_12e.py'

model = dict(
    type='QRPaQDINO',
    select_first=True,
    bbox_head=dict(
        type='QualityAwareDINOHead',
        quality=_base_.quality,
        loss_cls=dict(_delete_=True, **_base_.varifocal),
    ),
)
