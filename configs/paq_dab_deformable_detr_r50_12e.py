"""PaQ-DAB-Deformable-DETR, ResNet-50, 300 queries, 12 epochs.

PaQ-DETR Table 1, row 'PaQ-DAB-DETR' (300 queries).
mim train mmdet_qrpaq configs/paq_dab_deformable_detr_r50_12e.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 49.2, AP50 67.7, AP75 53.6 on COCO val2017; DAB-DETR++ 48.0.
Measured: not run.
"""

_base_ = './dab_deformable_detr_r50_12e.py'

model = dict(
    type='QRPaQDABDeformableDETR',
    pattern_query=_base_.patterns_300,
    bbox_head=dict(
        type='QualityAwareDABDeformableDETRHead',
        quality=_base_.quality,
        loss_cls=dict(_delete_=True, **_base_.varifocal),
    ),
)
