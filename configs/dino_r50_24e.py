"""DINO++, ResNet-50, 900 queries, 24 epochs: what PaQ-DINO is compared with.

PaQ-DETR Table 1, row 'DINO++' (24). mmdet's improved DINO, but for the schedule.
mim train mmdet_qrpaq configs/dino_r50_24e.py --gpus 8 --launcher pytorch
Expected (paper): AP 50.9, AP50 68.6, AP75 55.8 on COCO val2017.
Should meet: no public number after 24 epochs; 50.1 AP after 12, see dino_r50_12e.py.
Measured: not run.
"""

_base_ = ['./dino_r50_12e.py', './_base_/schedules.py']

max_epochs = 24
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.drop_at_20_of_24
