"""QR-Conditional-DETR, ResNet-50, 300 queries, 12 epochs.

QR-DETR Table 1, row 'QR-Conditional-DETR'. How it routes: `eeqr` in _base_/methods.py.
mim train mmdet_qrpaq configs/qr_conditional_detr_r50_12e.py --gpus 8 --launcher pytorch
Expected (paper): AP 39.9, AP50 60.9, AP75 41.4 on COCO val2017; Conditional-DETR 36.6.
Measured: not run.
"""

_base_ = './conditional_detr_r50_12e.py'

model = dict(type='QRPaQConditionalDETR', query_routing=_base_.eeqr)
custom_hooks = _base_.routing_hooks
