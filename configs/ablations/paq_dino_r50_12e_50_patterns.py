"""50 patterns for 900 queries. PaQ-DETR Fig. 3(a), Sec. 4.3.

mim train mmdet_qrpaq configs/ablations/paq_dino_r50_12e_50_patterns.py \
    --gpus 8 --launcher pytorch
Expected: '+0.7 mAP over the baseline'; the text has no number for AP itself.
Measured: not run.
"""

_base_ = '../paq_dino_r50_12e.py'

model = dict(pattern_query=dict(num_patterns=50))
