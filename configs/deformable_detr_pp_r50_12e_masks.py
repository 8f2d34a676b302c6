"""Deformable-DETR++ with masks, ResNet-50, 300 queries, 12 epochs.

PaQ-DETR Table 8, row 'Baseline' (COCO val2017, 12). See docs/masks.md.
mim train mmdet_qrpaq configs/deformable_detr_pp_r50_12e_masks.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 46.5, mask AP 32.4 on COCO val2017.
Should meet: no public number with masks; 47.0 box AP without, see
deformable_detr_pp_r50_12e.py.
Measured: not run.
"""

_base_ = './deformable_detr_pp_r50_12e.py'

model = dict(
    type='QRPaQDeformableDETRPP',
    mask_branch=_base_.mask_branch,
    backbone=dict(out_indices=(0, 1, 2, 3)),
    bbox_head=dict(type='QualityAwareDeformableDETRHead'),
)
train_pipeline = [
    _base_.train_pipeline[0],
    dict(_base_.train_pipeline[1], with_mask=True),
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
