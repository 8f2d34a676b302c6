"""Diversity loss weighted with beta = 0.4, not 0.2. PaQ-DETR Fig. 3(b), Sec. 4.3.

mim train mmdet_qrpaq configs/ablations/paq_dino_r50_12e_beta_0p4.py \
    --gpus 8 --launcher pytorch
'Too strong a weight (beta > 0.3) also harms accuracy.'
Expected AP: -; the figure's axis values are not in the text, which has no number.
Measured: not run.
"""

_base_ = '../paq_dino_r50_12e.py'

model = dict(pattern_query=dict(diversity_weight=0.4))
