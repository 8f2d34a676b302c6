"""Deformable-DETR++ with masks, ResNet-50, 300 queries, 12 epochs on Cityscapes.

PaQ-DETR Table 8, row 'Baseline' (Cityscapes, 12). See docs/masks.md.
mim train mmdet_qrpaq configs/deformable_detr_pp_r50_12e_masks_cityscapes.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 52.6, mask AP 34.8 on Cityscapes val.
Should meet: no public number on Cityscapes.
Measured: not run.
"""

_base_ = ['./deformable_detr_pp_r50_12e_masks.py', './_base_/cityscapes.py']

model = dict(bbox_head=dict(num_classes=8))
train_dataloader = dict(_delete_=True, **_base_.cityscapes_train_dataloader)
val_dataloader = dict(_delete_=True, **_base_.cityscapes_val_dataloader)
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, **_base_.cityscapes_val_evaluator)
test_evaluator = val_evaluator
