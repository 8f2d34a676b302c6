"""DINO, ResNet-50, 900 queries, 60 epochs on CSD.

PaQ-DETR Table 4, row 'DINO'. Folders and classes: docs/data.md.
mim train mmdet_qrpaq configs/dino_r50_60e_csd.py --gpus 8 --launcher pytorch
Expected (paper): AP 53.4, AP50 91.0, AP75 55.8.
Measured: not run.
The paper gives no learning-rate drop for this schedule; ours is at epoch 55.
"""

_base_ = ['./dino_r50_12e.py', './_base_/schedules.py', './_base_/defects.py']

model = dict(bbox_head=dict(num_classes=len(_base_.csd.metainfo.classes)))
train_dataloader = dict(dataset=dict(_base_.csd, **_base_.train_split))
val_dataloader = dict(dataset=dict(_base_.csd, **_base_.val_split))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=_base_.csd.data_root + _base_.val_ann_file)
test_evaluator = val_evaluator

max_epochs = 60
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.drop_at_55_of_60
