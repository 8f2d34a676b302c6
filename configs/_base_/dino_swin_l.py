"""dino_r50_12e with a Swin-L backbone, from mmdet's Swin-L DINO.

That one has five feature levels and none of the settings that make mmdet's *improved*
DINO; both are as in dino_r50_12e here, so that the backbone is the only difference.
"""

_base_ = ['mmdet::dino/dino-5scale_swin-l_8xb2-12e_coco.py', './methods.py']

num_levels = 4
model = dict(
    num_feature_levels=num_levels,
    backbone=dict(out_indices=(1, 2, 3)),
    neck=dict(in_channels=[384, 768, 1536], num_outs=num_levels),
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_levels=num_levels))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_levels=num_levels))),
    bbox_head=dict(loss_cls=dict(loss_weight=2.0)),
    positional_encoding=dict(offset=-0.5, temperature=10000),
    dn_cfg=dict(group_cfg=dict(num_dn_queries=300)),
)

slower = dict(lr_mult=0.1)
optim_wrapper = dict(
    constructor='MergedOptimWrapperConstructor',
    optimizer=dict(lr=2e-4, fused=True),
    paramwise_cfg=dict(
        custom_keys=dict(sampling_offsets=slower, reference_points=slower)
    ),
)
