"""PaQ-DN-Deformable-DETR, ResNet-50, 900 queries, 12 epochs.

PaQ-DETR Table 1, row 'PaQ-DN-DETR' (900 queries).
mim train mmdet_qrpaq configs/paq_dn_deformable_detr_r50_900q_12e.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 49.8, AP50 67.6, AP75 53.5 on COCO val2017; DN-DETR++ 48.7.
Measured: not run.
"""

_base_ = './paq_dn_deformable_detr_r50_12e.py'

model = dict(num_queries=900, pattern_query=_base_.patterns_900)
