"""200 patterns for 900 queries. PaQ-DETR Fig. 3(a), Sec. 4.3.

mim train mmdet_qrpaq configs/ablations/paq_dino_r50_12e_200_patterns.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 51.7, as for 150 patterns, which Table 1 has at 51.9.
Measured: not run.
"""

_base_ = '../paq_dino_r50_12e.py'

model = dict(pattern_query=dict(num_patterns=200))
