"""DINO, Swin-L (ImageNet-22k), 900 queries, 12 epochs: what PaQ-DINO is compared with.

PaQ-DETR Table 2, row 'DINO'.
mim train mmdet_qrpaq configs/dino_swin_l_12e.py --gpus 8 --launcher pytorch
Expected (paper): AP 56.8, AP50 75.4, AP75 62.3 on COCO val2017.
Should meet: 56.8 AP, which DINO's authors have with four levels.
Measured: not run.
The paper does not say how many feature levels; hence four (mmdet's five reach 57.2).
All but the backbone is as in dino_r50_12e.
"""

_base_ = './_base_/dino_swin_l.py'
