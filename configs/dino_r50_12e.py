"""DINO++, ResNet-50, 900 queries, 12 epochs: what PaQ-DINO is compared with.

PaQ-DETR Table 1, row 'DINO++'. mmdet's improved DINO as it is.
mim train mmdet_qrpaq configs/dino_r50_12e.py --gpus 8 --launcher pytorch
Expected (paper): AP 50.3, AP50 67.9, AP75 55.3 on COCO val2017.
Should meet: 50.1 AP, which mmdet publishes for it.
Measured: not run.
"""

_base_ = [
    'mmdet::dino/dino-4scale_r50_improved_8xb2-12e_coco.py',
    './_base_/methods.py',
]

optim_wrapper = _base_.merged_groups
