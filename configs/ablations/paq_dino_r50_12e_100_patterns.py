"""100 patterns for 900 queries. PaQ-DETR Fig. 3(a), Sec. 4.3.

mim train mmdet_qrpaq configs/ablations/paq_dino_r50_12e_100_patterns.py \
    --gpus 8 --launcher pytorch
Expected: the paper has no number in its text.
Measured: not run.
"""

_base_ = '../paq_dino_r50_12e.py'

model = dict(pattern_query=dict(num_patterns=100))
