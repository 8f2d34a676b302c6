"""Dynamic queries alone. PaQ-DETR Table 6, row 'D'.

mim train mmdet_qrpaq configs/ablations/paq_dino_r50_12e_p_only.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 51.4, AP50 69.0, AP75 56.0, Gini 0.90; DINO++ 50.3, Gini 0.97.
Measured: not run.
"""

_base_ = '../dino_r50_12e.py'

model = dict(type='QRPaQDINO', select_first=True, pattern_query=_base_.patterns_900)
