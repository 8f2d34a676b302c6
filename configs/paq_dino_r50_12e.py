"""PaQ-DINO, ResNet-50, 900 queries, 12 epochs. PaQ-DETR Table 1, row 'PaQ-DINO'.

mim train mmdet_qrpaq configs/paq_dino_r50_12e.py --gpus 8 --launcher pytorch
Expected (paper): AP 51.9, AP50 69.1, AP75 56.3 on COCO val2017; DINO++ 50.3.
Measured: not run.
"""

_base_ = './dino_r50_12e.py'

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
