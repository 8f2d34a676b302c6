"""PaQ-DINO with H-DETR's hybrid branch in training. PaQ-DETR Table 3, row 'PaQ-DETR'.

mim train mmdet_qrpaq configs/ablations/paq_dino_r50_12e_hybrid.py \
    --gpus 8 --launcher pytorch
1500 extra queries, each object six times (Sec. 4.2); the table does not name its host.
Expected (paper): AP 52.4, AP50 69.8, AP75 57.4 on COCO val2017; without it 51.9.
Measured: not run.
"""

_base_ = '../paq_dino_r50_12e.py'

model = dict(hybrid_branch=_base_.hybrid)
