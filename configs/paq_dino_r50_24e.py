"""PaQ-DINO, ResNet-50, 900 queries, 24 epochs. PaQ-DETR Table 1, row 'PaQ-DINO' (24).

mim train mmdet_qrpaq configs/paq_dino_r50_24e.py --gpus 8 --launcher pytorch
Expected (paper): AP 52.6, AP50 69.7, AP75 56.9 on COCO val2017; DINO++ 50.9.
Measured: not run.
"""

_base_ = ['./paq_dino_r50_12e.py', './_base_/schedules.py']

max_epochs = 24
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.drop_at_20_of_24
