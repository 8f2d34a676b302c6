"""Deformable-DETR++ with masks, ResNet-50, 300 queries, 24 epochs.

PaQ-DETR Table 8, row 'Baseline' (COCO val2017, 24). See docs/masks.md.
mim train mmdet_qrpaq configs/deformable_detr_pp_r50_24e_masks.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 48.6, mask AP 35.1 on COCO val2017.
Should meet: no public number; after 36 epochs and without masks H-DETR publishes
49.0 box AP (github.com/HDETR, 'Deformable-DETR + tricks').
Measured: not run.
"""

_base_ = './deformable_detr_pp_r50_12e_masks.py'

max_epochs = 24
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.drop_at_20_of_24
