"""Deformable-DETR++, small, on EfficientNet-Lite0's ImageNet weights.

The host of the study `methods_real_deformable` in `benchmarks/accuracy/`.
"""

_base_ = [
    '../deformable_detr_pp_r50_12e.py',
    './small.py',
    './small_lite0.py',
]

model = dict(
    num_queries=_base_.small_model.num_queries,
    data_preprocessor=_base_.lite0_preprocessor,
    backbone=_base_.lite0_backbone,
    neck=dict(in_channels=_base_.lite0_channels),
    encoder=_base_.small_model.encoder,
    decoder=_base_.small_model.decoder,
    test_cfg=_base_.small_model.test_cfg,
)

train_dataloader = _base_.lite0_train_dataloader
val_dataloader = _base_.lite0_val_dataloader
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=_base_.small_train_cfg.max_epochs)
auto_scale_lr = _base_.small_auto_scale_lr
optim_wrapper = _base_.lite0_optim_wrapper
param_scheduler = _base_.small_param_scheduler
default_hooks = dict(logger=dict(interval=20))
custom_hooks = _base_.lite0_hooks
