"""mmdet's DINO made so small that it learns from nothing in minutes.

Every `*_dino_r18_4e_digits` leaf stands on it and adds its method.
"""

_base_ = ['mmdet::dino/dino-4scale_r50_improved_8xb2-12e_coco.py', './digits.py']

# ResNet-18 from scratch (hence trainable BN), few queries and layers: 100 batches of
# eight images an epoch take about a minute.
model = dict(
    num_queries=30,
    backbone=dict(
        depth=18,
        norm_cfg=dict(requires_grad=True),
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[128, 256, 512]),
    encoder=dict(num_layers=1, layer_cfg=dict(ffn_cfg=dict(feedforward_channels=512))),
    decoder=dict(num_layers=3, layer_cfg=dict(ffn_cfg=dict(feedforward_channels=512))),
    dn_cfg=dict(group_cfg=dict(num_dn_queries=20)),
    bbox_head=dict(num_classes=10),
    test_cfg=dict(max_per_img=30),
)

train_dataloader = dict(_delete_=True, **_base_.digits_train_dataloader)
val_dataloader = dict(_delete_=True, **_base_.digits_val_dataloader)
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, **_base_.digits_val_evaluator)
test_evaluator = dict(_delete_=True, **_base_.digits_val_evaluator, classwise=True)

max_epochs = 4
train_cfg = dict(max_epochs=max_epochs)
auto_scale_lr = dict(base_batch_size=8)
optim_wrapper = dict(
    optimizer=dict(lr=4e-4),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(_delete_=True),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(
    logger=dict(interval=20), checkpoint=dict(interval=1, max_keep_ckpts=2)
)
log_processor = dict(window_size=20)  # so that each log entry tells of its own 20
# A fixed seed, so that the measured numbers can be met again.
randomness = dict(seed=0)
