"""A small PaQ-DINO that learns from nothing in minutes.

python tools/dataset/make_digits.py
mim train mmdet_qrpaq configs/paq_dino_r18_4e_digits.py
Measured: docs/accuracy.md, with the options told there.
"""

_base_ = ['./_base_/small_dino_digits.py', './_base_/methods.py']

model = dict(
    type='QRPaQDINO',
    pattern_query=dict(_base_.patterns_300, num_patterns=10),
    bbox_head=dict(
        type='QualityAwareDINOHead',
        quality=_base_.quality,
        loss_cls=dict(_delete_=True, **_base_.varifocal),
    ),
)
