"""DAB-DETR, ResNet-50, 300 queries, 12 epochs: what QR-DETR compares with.

QR-DETR Table 1, row 'DAB-DETR' (12 epochs). mmdet's model, QR-DETR's recipe.
mim train mmdet_qrpaq configs/dab_detr_r50_12e.py --gpus 8 --launcher pytorch
Expected (paper): AP 42.2, AP50 63.1, AP75 45.7 on COCO val2017.
Measured: not run.
DAB-DETR publishes 42.2 for 50 epochs; the row may not be of a 12-epoch run.
"""

_base_ = [
    'mmdet::dab_detr/dab-detr_r50_8xb2-50e_coco.py',
    './_base_/methods.py',
    './_base_/qr_recipe.py',
]

max_epochs = _base_.qr_max_epochs
train_cfg = _base_.qr_train_cfg
train_dataloader = _base_.qr_train_dataloader
optim_wrapper = _base_.qr_optim_wrapper
param_scheduler = _base_.qr_param_scheduler
auto_scale_lr = _base_.qr_auto_scale_lr
