"""PaQ-Deformable-DETR with masks, ResNet-50, 300 queries, 24 epochs.

PaQ-DETR Table 8, row 'PaQ-Def-DETR' (COCO val2017, 24). See docs/masks.md.
mim train mmdet_qrpaq configs/paq_deformable_detr_pp_r50_24e_masks.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 50.6, mask AP 37.2 on COCO val2017; baseline 48.6 and 35.1.
Measured: not run.
"""

_base_ = './deformable_detr_pp_r50_24e_masks.py'

model = dict(
    pattern_query=_base_.patterns_300,
    bbox_head=dict(
        quality=_base_.quality,
        loss_cls=dict(_delete_=True, **_base_.varifocal),
    ),
)
