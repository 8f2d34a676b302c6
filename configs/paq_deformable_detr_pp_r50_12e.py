"""PaQ-Deformable-DETR, ResNet-50, 300 queries, 12 epochs.

PaQ-DETR Table 1, row 'PaQ-Deformable-DETR' (300 queries).
mim train mmdet_qrpaq configs/paq_deformable_detr_pp_r50_12e.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 48.4, AP50 66.9, AP75 52.6 on COCO val2017; Deformable-DETR++ 46.9.
Measured: not run.
"""

_base_ = './deformable_detr_pp_r50_12e.py'

model = dict(
    type='QRPaQDeformableDETRPP',
    pattern_query=_base_.patterns_300,
    bbox_head=dict(
        type='QualityAwareDeformableDETRHead',
        quality=_base_.quality,
        loss_cls=dict(_delete_=True, **_base_.varifocal),
    ),
)
