"""PaQ-DINO, Swin-L (ImageNet-22k), 900 queries, 12 epochs.

PaQ-DETR Table 2, row 'PaQ-DINO'. Four feature levels, see dino_swin_l_12e.
mim train mmdet_qrpaq configs/paq_dino_swin_l_12e.py --gpus 8 --launcher pytorch
Expected (paper): AP 57.8, AP50 76.2, AP75 62.6 on COCO val2017; DINO 56.8.
Measured: not run.
"""

_base_ = './dino_swin_l_12e.py'

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
