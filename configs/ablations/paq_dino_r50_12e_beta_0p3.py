"""Diversity loss weighted with beta = 0.3, not 0.2. PaQ-DETR Fig. 3(b), Sec. 4.3.

mim train mmdet_qrpaq configs/ablations/paq_dino_r50_12e_beta_0p3.py \
    --gpus 8 --launcher pytorch
Expected AP: -; the figure's axis values are not in the text, which has no number.
Measured: not run.
"""

_base_ = '../paq_dino_r50_12e.py'

model = dict(pattern_query=dict(diversity_weight=0.3))
