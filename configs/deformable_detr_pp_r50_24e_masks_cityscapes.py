"""Deformable-DETR++ with masks, ResNet-50, 300 queries, 24 epochs on Cityscapes.

PaQ-DETR Table 8, row 'Baseline' (Cityscapes, 24). See docs/masks.md.
mim train mmdet_qrpaq configs/deformable_detr_pp_r50_24e_masks_cityscapes.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 54.4, mask AP 36.6 on Cityscapes val.
Should meet: no public number on Cityscapes.
Measured: not run.
"""

_base_ = './deformable_detr_pp_r50_12e_masks_cityscapes.py'

max_epochs = 24
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.drop_at_20_of_24
