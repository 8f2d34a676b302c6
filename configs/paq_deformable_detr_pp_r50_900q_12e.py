"""PaQ-Deformable-DETR, ResNet-50, 900 queries, 12 epochs.

PaQ-DETR Table 1, row 'PaQ-Deformable-DETR' (900 queries).
mim train mmdet_qrpaq configs/paq_deformable_detr_pp_r50_900q_12e.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 48.9, AP50 67.1, AP75 53.3 on COCO val2017; Deformable-DETR++ 47.6.
Measured: not run.
"""

_base_ = './paq_deformable_detr_pp_r50_12e.py'

model = dict(num_queries=900, pattern_query=_base_.patterns_900)
