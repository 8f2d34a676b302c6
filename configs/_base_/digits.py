"""Data made by `tools/dataset/make_digits.py`, as named parts that a leaf binds.

Example: `train_dataloader=dict(_delete_=True, **_base_.digits_train_dataloader)`.
There is no flipping: a mirrored digit is another digit or none.
"""

digits_data_root = 'data/digits/'
digits_metainfo = dict(
    classes=('0', '1', '2', '3', '4', '5', '6', '7', '8', '9'),
    palette=[
        (78, 121, 255),
        (242, 142, 43),
        (255, 70, 80),
        (60, 220, 210),
        (80, 210, 60),
        (255, 221, 51),
        (210, 90, 220),
        (255, 130, 190),
        (190, 130, 90),
        (200, 200, 200),
    ],
)

digits_train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CocoDataset',
        data_root=digits_data_root,
        metainfo=digits_metainfo,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='Resize', scale=(128, 128), keep_ratio=True),
            dict(type='PackDetInputs'),
        ],
    ),
)

digits_val_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        data_root=digits_data_root,
        metainfo=digits_metainfo,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(128, 128), keep_ratio=True),
            dict(type='LoadAnnotations', with_bbox=True),
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

digits_val_evaluator = dict(
    type='CocoMetric',
    ann_file=digits_data_root + 'annotations/instances_val.json',
    metric='bbox',
)
