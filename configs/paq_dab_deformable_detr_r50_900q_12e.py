"""PaQ-DAB-Deformable-DETR, ResNet-50, 900 queries, 12 epochs.

PaQ-DETR Table 1, row 'PaQ-DAB-DETR' (900 queries).
mim train mmdet_qrpaq configs/paq_dab_deformable_detr_r50_900q_12e.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 49.4, AP50 67.7, AP75 53.7 on COCO val2017; DAB-DETR++ 48.3.
Measured: not run.
"""

_base_ = './paq_dab_deformable_detr_r50_12e.py'

model = dict(num_queries=900, pattern_query=_base_.patterns_900)
