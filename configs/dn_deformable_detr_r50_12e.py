"""DN-Deformable-DETR, ResNet-50, 300 queries, 12 epochs: what PaQ-DETR compares with.

PaQ-DETR Table 1, row 'DN-DETR++' (300 queries): DAB-Deformable-DETR, two-stage, and
DN-DETR's noise: 5 groups, a label redrawn with probability 0.2, boxes within 0.4.
mim train mmdet_qrpaq configs/dn_deformable_detr_r50_12e.py --gpus 8 --launcher pytorch
Expected (paper): AP 47.3, AP50 65.1, AP75 51.5 on COCO val2017.
Should meet: no public number; Relation-DETR's model of this name has 47.3 AP, with
a position-relation bias, one-stage (github.com/xiuqhou/Relation-DETR).
Measured: not run.
"""

_base_ = [
    'mmdet::dino/dino-4scale_r50_improved_8xb2-12e_coco.py',
    './_base_/methods.py',
]

model = dict(
    type='DNDeformableDETR',
    select_first=True,
    num_queries=300,
    dn_cfg=dict(_delete_=True, **_base_.dn_groups),
    bbox_head=dict(type='DNDeformableDETRHead'),
)
optim_wrapper = _base_.merged_groups
