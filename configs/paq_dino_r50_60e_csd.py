"""PaQ-DINO, ResNet-50, 900 queries, 60 epochs on CSD.

PaQ-DETR Table 4, row 'PaQ-DINO'. Folders and classes: docs/data.md.
mim train mmdet_qrpaq configs/paq_dino_r50_60e_csd.py --gpus 8 --launcher pytorch
Expected (paper): AP 54.2, AP50 91.8, AP75 56.2; DINO 53.4.
Measured: not run.
The paper gives no learning-rate drop for this schedule; ours is at epoch 55.
"""

_base_ = './dino_r50_60e_csd.py'

model = dict(
    type='QRPaQDINO',
    select_first=True,
    pattern_query=_base_.patterns_900,
    bbox_head=dict(
        type='QualityAwareDINOHead',
        quality=_base_.quality,
        loss_cls=dict(_delete_=True, **_base_.varifocal),
    ),
)
