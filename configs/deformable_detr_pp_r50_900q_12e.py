"""Deformable-DETR++, ResNet-50, 900 queries, 12 epochs: what PaQ-DETR compares with.

PaQ-DETR Table 1, row 'Deformable-DETR++' (900 queries).
mim train mmdet_qrpaq configs/deformable_detr_pp_r50_900q_12e.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 47.6, AP50 65.8, AP75 52.1 on COCO val2017.
Should meet: no public number at 900 queries; 47.0 AP at 300, see
deformable_detr_pp_r50_12e.py.
Measured: not run.
"""

_base_ = './deformable_detr_pp_r50_12e.py'

model = dict(num_queries=900)
