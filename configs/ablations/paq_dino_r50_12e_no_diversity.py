"""No diversity loss, beta = 0. PaQ-DETR Fig. 3(b), Sec. 4.3.

mim train mmdet_qrpaq configs/ablations/paq_dino_r50_12e_no_diversity.py \
    --gpus 8 --launcher pytorch
Expected: 'a 0.6 mAP drop'; the text has no number for AP itself.
Measured: not run.
"""

_base_ = '../paq_dino_r50_12e.py'

model = dict(pattern_query=dict(diversity_weight=0.0))
