"""QR and PaQ together on DINO, ResNet-50, 900 queries, 12 epochs.

Not in the papers: PaQ-DINO alone is paq_dino_r50_12e.
mim train mmdet_qrpaq configs/qrpaq_dino_r50_12e.py --gpus 8 --launcher pytorch
Rule: `StandardizedPolicy`, which sets the share (0.69). Gradient: straight-through.
Neither is QR-DETR's, and Table 2 cannot come of it: `eeqr` in _base_/methods.py.
Measured: not run.
"""

_base_ = './paq_dino_r50_12e.py'

model = dict(query_routing=_base_.eeqr)
custom_hooks = _base_.routing_hooks
