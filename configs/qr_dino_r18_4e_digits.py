"""A small QR-DINO that learns from nothing in minutes.

python tools/dataset/make_digits.py
mim train mmdet_qrpaq configs/qr_dino_r18_4e_digits.py
Rule: `StandardizedPolicy`, which sets the share (0.69). Gradient: straight-through.
Neither is QR-DETR's, and Table 2 cannot come of it: `eeqr` in _base_/methods.py.
Measured: docs/accuracy.md, with the options told there.
"""

_base_ = ['./_base_/small_dino_digits.py', './_base_/methods.py']

model = dict(
    type='QRPaQDINO',
    query_routing=_base_.eeqr,
    bbox_head=dict(type='QualityAwareDINOHead'),
)
custom_hooks = _base_.routing_hooks
