"""Deformable-DETR++, ResNet-50, 300 queries, 12 epochs: what PaQ-DETR compares with.

PaQ-DETR Table 1, row 'Deformable-DETR++' (300 queries): box refinement, two-stage.
mim train mmdet_qrpaq configs/deformable_detr_pp_r50_12e.py --gpus 8 --launcher pytorch
Expected (paper): AP 46.9, AP50 65.6, AP75 51.1 on COCO val2017.
Measured: not run.
mmdet's model, PaQ-DETR's recipe. What else '++' stands for: docs/paper_map.md.
"""

_base_ = [
    'mmdet::deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py',
    './_base_/methods.py',
    './_base_/schedules.py',
]

optim_wrapper = _base_.merged_groups

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.drop_at_11_of_12
auto_scale_lr = dict(base_batch_size=16)
