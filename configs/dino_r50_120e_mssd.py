"""DINO, ResNet-50, 900 queries, 120 epochs on MSSD.

PaQ-DETR Table 5, row 'DINO'. Folders and classes: docs/data.md.
mim train mmdet_qrpaq configs/dino_r50_120e_mssd.py --gpus 8 --launcher pytorch
Expected (paper): AP 51.0, AP50 80.0.
Measured: not run.
The paper gives no learning-rate drop for this schedule; ours is at epoch 110.
"""

_base_ = ['./dino_r50_12e.py', './_base_/schedules.py', './_base_/defects.py']

model = dict(bbox_head=dict(num_classes=len(_base_.mssd.metainfo.classes)))
train_dataloader = dict(dataset=dict(_base_.mssd, **_base_.train_split))
val_dataloader = dict(dataset=dict(_base_.mssd, **_base_.val_split))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=_base_.mssd.data_root + _base_.val_ann_file)
test_evaluator = val_evaluator

max_epochs = 120
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.drop_at_110_of_120
