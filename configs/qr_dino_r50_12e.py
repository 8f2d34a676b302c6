"""QR-DINO, ResNet-50, 900 queries, 12 epochs, with the recipe of PaQ-DETR.

Not in the papers: QR-DETR has no DINO. mmdet's improved DINO publishes AP 50.1.
mim train mmdet_qrpaq configs/qr_dino_r50_12e.py --gpus 8 --launcher pytorch
Rule: `StandardizedPolicy`, which sets the share (0.69). Gradient: straight-through.
Neither is QR-DETR's, and Table 2 cannot come of it: `eeqr` in _base_/methods.py.
Measured: not run.
"""

_base_ = './dino_r50_12e.py'

model = dict(type='QRPaQDINO', select_first=True, query_routing=_base_.eeqr)
custom_hooks = _base_.routing_hooks
