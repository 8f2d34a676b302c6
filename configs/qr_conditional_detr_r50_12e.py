"""QR-Conditional-DETR, ResNet-50, 300 queries, 12 epochs.

QR-DETR Table 1, row 'QR-Conditional-DETR', but for rule and gradient.
Rule: queries of an image are compared with each other (`StandardizedPolicy`). Gradient:
straight-through, no exit heads. The rule's threshold sets the share that enters (0.69
for any scores like a bell), so this cannot reproduce Table 2; the paper's rule and
gradient: qr_conditional_detr_r50_12e_literal.py.
mim train mmdet_qrpaq configs/qr_conditional_detr_r50_12e.py --gpus 8 --launcher pytorch
Expected (paper): AP 39.9, AP50 60.9, AP75 41.4 on COCO val2017; Conditional-DETR 36.6.
Measured: not run.
"""

_base_ = './conditional_detr_r50_12e.py'

model = dict(type='QRPaQConditionalDETR', query_routing=_base_.eeqr)
custom_hooks = _base_.routing_hooks
