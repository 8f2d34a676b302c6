"""QR-DAB-DETR, ResNet-50, 300 queries, 12 epochs.

QR-DETR Table 1, row 'QR-DAB-DETR'. How it routes: `eeqr` in _base_/methods.py.
mim train mmdet_qrpaq configs/qr_dab_detr_r50_12e.py --gpus 8 --launcher pytorch
Expected (paper): AP 43.7, AP50 63.2, AP75 47.3 on COCO val2017; DAB-DETR 42.2.
Measured: not run.
"""

_base_ = './dab_detr_r50_12e.py'

model = dict(type='QRPaQDABDETR', query_routing=_base_.eeqr)
custom_hooks = _base_.routing_hooks
