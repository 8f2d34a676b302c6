"""PaQ-DINO, ResNet-50, 900 queries, 12 epochs: Z from all encoder levels.

Not in the papers as a row: Sec. 3.2 fuses all levels, and gives Z h_2 x w_2.
mim train mmdet_qrpaq configs/ablations/paq_dino_r50_12e_finest.py \
    --gpus 8 --launcher pytorch
Measured: not run. docs/paper_map.md, docs/cost.md.
"""

_base_ = '../paq_dino_r50_12e.py'

model = dict(pattern_query=dict(finest=True))
