"""What makes a leaf so small that it learns from nothing in minutes, as named parts.

`tools/sweep.py --small` lays these over any leaf; what depends on the leaf (feature
levels, share of patterns) is in `mmdet_qrpaq/sweeps/scale.py`. Batch norm is trained,
since there is no pretrained backbone whose statistics it could keep.
"""

small_ffn = dict(layer_cfg=dict(ffn_cfg=dict(feedforward_channels=512)))
small_model = dict(
    num_queries=100,
    encoder=dict(small_ffn, num_layers=1),
    decoder=dict(small_ffn, num_layers=3),
    test_cfg=dict(max_per_img=100),
)
small_backbone = dict(
    _delete_=True,
    type='ResNet',
    depth=18,
    norm_cfg=dict(type='BN', requires_grad=True),
    norm_eval=False,
    style='pytorch',
)
small_image_size = 256

# A mini-batch large enough for its batch norm, and one learning rate for all.
small_train_dataloader = dict(batch_size=8, num_workers=1)
small_test_dataloader = dict(batch_size=8, num_workers=1)
small_auto_scale_lr = dict(base_batch_size=8)
small_optim_wrapper = dict(
    optimizer=dict(lr=4e-4),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(_delete_=True),
)
small_train_cfg = dict(
    _delete_=True, type='EpochBasedTrainLoop', max_epochs=12, val_interval=1
)
small_param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        begin=0,
        end=12,
        T_max=12,
        convert_to_iter_based=True,
    ),
]
