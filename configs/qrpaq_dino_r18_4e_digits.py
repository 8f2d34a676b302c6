"""A small DINO with QR and PaQ that learns from nothing in minutes.

python tools/dataset/make_digits.py
mim train mmdet_qrpaq configs/qrpaq_dino_r18_4e_digits.py
Rule: `StandardizedPolicy`, which sets the share (0.69). Gradient: straight-through.
Neither is QR-DETR's, and Table 2 cannot come of it: `eeqr` in _base_/methods.py.
Measured: docs/accuracy.md, with the options told there.
"""

_base_ = './paq_dino_r18_4e_digits.py'

model = dict(query_routing=_base_.eeqr)
custom_hooks = _base_.routing_hooks
