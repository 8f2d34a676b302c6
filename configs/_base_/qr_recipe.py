"""How QR-DETR trains (Sec. 5.1), as named parts that a leaf binds.

What the paper leaves open stays as the host's config in mmdet has it: weight decay,
gradient clipping, slower `sampling_offsets`. So does the augmentation, which is DETR's
already (short side 480-800, long side at most 1333).
"""

# 'On 8 GPUs, with a batch size of 8'.
qr_train_dataloader = dict(batch_size=1)
qr_auto_scale_lr = dict(base_batch_size=8)

# 1e-5 for the backbone.
qr_optim_wrapper = dict(
    constructor='MergedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, fused=True),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)

qr_max_epochs = 12
qr_train_cfg = dict(max_epochs=qr_max_epochs)
qr_param_scheduler = [
    dict(
        type='MultiStepLR',
        begin=0,
        end=qr_max_epochs,
        by_epoch=True,
        milestones=[11],
        gamma=0.1,
    )
]
