"""PaQ-DINO, ResNet-50, 900 queries, 120 epochs on MSSD.

PaQ-DETR Table 5, row 'PaQ-DINO'. Folders and classes: docs/data.md.
mim train mmdet_qrpaq configs/paq_dino_r50_120e_mssd.py --gpus 8 --launcher pytorch
Expected (paper): AP 55.2, AP50 80.2; DINO 51.0.
Measured: not run.
The paper gives no learning-rate drop for this schedule; ours is at epoch 110.
"""

_base_ = './dino_r50_120e_mssd.py'

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
