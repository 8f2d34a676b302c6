"""Deformable-DETR++, ResNet-50, 300 queries, 12 epochs: what PaQ-DETR compares with.

PaQ-DETR Table 1, row 'Deformable-DETR++' (300 queries).
mim train mmdet_qrpaq configs/deformable_detr_pp_r50_12e.py --gpus 8 --launcher pytorch
Expected (paper): AP 46.9, AP50 65.6, AP75 51.1 on COCO val2017.
Should meet: 47.0 AP, which H-DETR publishes for it, 'Deformable-DETR + tricks': mixed
query selection, look forward twice, no dropout, FFN 2048 (github.com/HDETR).
Measured: not run.
"""

_base_ = './deformable_detr_refine_twostage_r50_12e.py'

model = dict(
    type='DeformableDETRPP',
    encoder=dict(
        layer_cfg=dict(
            self_attn_cfg=dict(dropout=0.0),
            ffn_cfg=dict(feedforward_channels=2048, ffn_drop=0.0),
        )
    ),
    decoder=dict(
        layer_cfg=dict(
            self_attn_cfg=dict(dropout=0.0),
            cross_attn_cfg=dict(dropout=0.0),
            ffn_cfg=dict(feedforward_channels=2048, ffn_drop=0.0),
        )
    ),
)
