"""Cityscapes with masks, as named parts that a leaf binds.

What mmdet's `_base_/datasets/cityscapes_instance.py` sets, under other names, since a
config cannot have that base beside a COCO one. Two differences: 2 images a GPU (16 in
all, PaQ-DETR Sec. 4.1), and no `CityScapesMetric`. An epoch is upstream's: 8 times each
image; the paper does not say what its own is.
"""

cityscapes_root = 'data/cityscapes/'
cityscapes_split = dict(
    type='CityscapesDataset',
    data_root=cityscapes_root,
    filter_cfg=dict(filter_empty_gt=True, min_size=32),
    backend_args=None,
)
cityscapes_load = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
]
cityscapes_val_file = 'annotations/instancesonly_filtered_gtFine_val.json'

cityscapes_train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type='RepeatDataset',
        times=8,
        dataset=dict(
            cityscapes_split,
            ann_file='annotations/instancesonly_filtered_gtFine_train.json',
            data_prefix=dict(img='leftImg8bit/train/'),
            pipeline=[
                *cityscapes_load,
                dict(
                    type='RandomResize',
                    scale=[(2048, 800), (2048, 1024)],
                    keep_ratio=True,
                ),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackDetInputs'),
            ],
        ),
    ),
)

cityscapes_val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        cityscapes_split,
        ann_file=cityscapes_val_file,
        data_prefix=dict(img='leftImg8bit/val/'),
        test_mode=True,
        pipeline=[
            cityscapes_load[0],
            dict(type='Resize', scale=(2048, 1024), keep_ratio=True),
            cityscapes_load[1],
            dict(
                type='PackDetInputs',
                meta_keys=(
                    'img_id',
                    'img_path',
                    'ori_shape',
                    'img_shape',
                    'scale_factor',
                ),
            ),
        ],
    ),
)

cityscapes_val_evaluator = dict(
    type='CocoMetric',
    ann_file=cityscapes_root + cityscapes_val_file,
    metric=['bbox', 'segm'],
    backend_args=None,
)
