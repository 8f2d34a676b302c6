"""DN-Deformable-DETR, ResNet-50, 900 queries, 12 epochs: what PaQ-DETR compares with.

PaQ-DETR Table 1, row 'DN-DETR++' (900 queries).
mim train mmdet_qrpaq configs/dn_deformable_detr_r50_900q_12e.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 48.7, AP50 66.4, AP75 52.9 on COCO val2017.
Should meet: no public number at 900 queries.
Measured: not run.
"""

_base_ = './dn_deformable_detr_r50_12e.py'

model = dict(num_queries=900)
