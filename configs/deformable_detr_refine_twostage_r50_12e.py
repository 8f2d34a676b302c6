"""Deformable-DETR with box refinement, two-stage, ResNet-50, 300 queries, 12 epochs.

Not in the papers: mmdet's model, trained as PaQ-DETR trains its hosts.
mim train mmdet_qrpaq configs/deformable_detr_refine_twostage_r50_12e.py \
    --gpus 8 --launcher pytorch
Should meet: 43.7 AP, which H-DETR publishes for it with an FFN of 2048 instead of 1024
(github.com/HDETR, 'Deformable-DETR'); mmdet has 47.0 after 50 epochs.
Measured: not run.
"""

_base_ = [
    'mmdet::deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py',
    './_base_/methods.py',
    './_base_/schedules.py',
]

optim_wrapper = _base_.merged_groups

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.drop_at_11_of_12
auto_scale_lr = dict(base_batch_size=16)
