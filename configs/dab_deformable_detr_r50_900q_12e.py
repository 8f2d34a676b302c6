"""DAB-Deformable-DETR, ResNet-50, 900 queries, 12 epochs: what PaQ-DETR compares with.

PaQ-DETR Table 1, row 'DAB-DETR++' (900 queries).
mim train mmdet_qrpaq configs/dab_deformable_detr_r50_900q_12e.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 48.3, AP50 66.4, AP75 52.8 on COCO val2017.
Should meet: no public number at 900 queries.
Measured: not run.
"""

_base_ = './dab_deformable_detr_r50_12e.py'

model = dict(num_queries=900)
