"""PaQ-Deformable-DETR with masks, ResNet-50, 300 queries, 12 epochs on Cityscapes.

PaQ-DETR Table 8, row 'PaQ-Def-DETR' (Cityscapes, 12). See docs/masks.md.
mim train mmdet_qrpaq configs/paq_deformable_detr_pp_r50_12e_masks_cityscapes.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 54.8, mask AP 36.8 on Cityscapes val; baseline 52.6 and 34.8.
Measured: not run.
"""

_base_ = './deformable_detr_pp_r50_12e_masks_cityscapes.py'

model = dict(
    pattern_query=_base_.patterns_300,
    bbox_head=dict(
        quality=_base_.quality,
        loss_cls=dict(_delete_=True, **_base_.varifocal),
    ),
)
