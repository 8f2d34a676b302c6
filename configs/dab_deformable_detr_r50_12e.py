"""DAB-Deformable-DETR, ResNet-50, 300 queries, 12 epochs: what PaQ-DETR compares with.

PaQ-DETR Table 1, row 'DAB-DETR++' (300 queries): DINO's model, two-stage, without its
denoising queries and its 'look forward twice'.
mim train mmdet_qrpaq configs/dab_deformable_detr_r50_12e.py --gpus 8 --launcher pytorch
Expected (paper): AP 48.0, AP50 66.2, AP75 52.4 on COCO val2017.
Should meet: no public number; Relation-DETR's model of this name has 48.3 AP, with
a position-relation bias (github.com/xiuqhou/Relation-DETR).
Measured: not run.
"""

_base_ = [
    'mmdet::dino/dino-4scale_r50_improved_8xb2-12e_coco.py',
    './_base_/methods.py',
]

model = dict(
    type='DABDeformableDETR',
    select_first=True,
    num_queries=300,
    dn_cfg=None,
    bbox_head=dict(type='DABDeformableDETRHead'),
)
optim_wrapper = _base_.merged_groups
