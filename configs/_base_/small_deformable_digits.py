"""mmdet's two-stage Deformable-DETR as small as `small_dino_digits.py`'s DINO.

The host of the study `methods_deformable` in `benchmarks/accuracy/`.
"""

_base_ = [
    'mmdet::deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py',
    './digits.py',
    './methods.py',
    './small.py',
]

model = dict(
    num_queries=30,
    backbone=dict(_base_.small_backbone, out_indices=(1, 2, 3)),
    neck=dict(in_channels=[128, 256, 512]),
    encoder=_base_.small_model.encoder,
    decoder=_base_.small_model.decoder,
    bbox_head=dict(num_classes=10),
    test_cfg=dict(max_per_img=30),
)

train_dataloader = dict(_delete_=True, **_base_.digits_train_dataloader)
val_dataloader = dict(_delete_=True, **_base_.digits_val_dataloader)
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, **_base_.digits_val_evaluator)
test_evaluator = val_evaluator

max_epochs = 4
train_cfg = dict(max_epochs=max_epochs)
auto_scale_lr = _base_.small_auto_scale_lr
optim_wrapper = _base_.small_optim_wrapper
param_scheduler = [
    _base_.small_param_scheduler[0],
    dict(_base_.small_param_scheduler[1], end=max_epochs, T_max=max_epochs),
]
default_hooks = dict(logger=dict(interval=20))
