"""Deformable-DETR, ResNet-50, 300 queries, 12 epochs: what QR-DETR compares with.

QR-DETR Table 1, row 'Deformable-DETR' (12 epochs). mmdet's model, QR-DETR's recipe.
mim train mmdet_qrpaq configs/deformable_detr_r50_12e.py --gpus 8 --launcher pytorch
Expected (paper): AP 38.3, AP50 58.0, AP75 41.3 on COCO val2017.
Measured: not run.
The rates of `sampling_offsets` and `reference_points` are a tenth, as in upstream's.
"""

_base_ = [
    'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    './_base_/methods.py',
    './_base_/qr_recipe.py',
]

max_epochs = _base_.qr_max_epochs
train_cfg = _base_.qr_train_cfg
train_dataloader = _base_.qr_train_dataloader
optim_wrapper = _base_.qr_optim_wrapper
param_scheduler = _base_.qr_param_scheduler
auto_scale_lr = _base_.qr_auto_scale_lr
