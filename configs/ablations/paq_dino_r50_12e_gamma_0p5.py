"""Confidence weighted with gamma = 0.5, not 0.4. PaQ-DETR Fig. 3(d), Sec. 4.3.

mim train mmdet_qrpaq configs/ablations/paq_dino_r50_12e_gamma_0p5.py \
    --gpus 8 --launcher pytorch
Expected AP: -; the figure's axis values are not in the text, which has no number.
Measured: not run.
"""

_base_ = '../paq_dino_r50_12e.py'

model = dict(bbox_head=dict(quality=dict(assigner=dict(confidence_weight=0.5))))
