"""QR-Deformable-DETR, ResNet-50, 300 queries, 12 epochs.

QR-DETR Table 1, row 'QR-Deformable-DETR', but for rule and gradient.
Rule: queries of an image are compared with each other (`StandardizedPolicy`). Gradient:
straight-through, no exit heads. The rule's threshold sets the share that enters (0.69
for any scores like a bell), so this cannot reproduce Table 2; the paper's rule and
gradient: qr_deformable_detr_r50_12e_literal.py.
mim train mmdet_qrpaq configs/qr_deformable_detr_r50_12e.py --gpus 8 --launcher pytorch
Expected (paper): AP 43.1, AP50 62.2, AP75 46.4 on COCO val2017; Deformable-DETR 38.3.
Measured: not run.
"""

_base_ = './deformable_detr_r50_12e.py'

model = dict(type='QRPaQDeformableDETR', query_routing=_base_.eeqr)
custom_hooks = _base_.routing_hooks
