"""DINO with H-DETR's hybrid branch: beside PaQ-DETR Table 3. Not in the papers.

mim train mmdet_qrpaq configs/ablations/dino_r50_12e_hybrid.py \
    --gpus 8 --launcher pytorch
What the row 'PaQ-DETR' is without PaQ; DINO++ alone has AP 50.3.
Measured: not run.
"""

_base_ = '../dino_r50_12e.py'

model = dict(type='QRPaQDINO', select_first=True, hybrid_branch=_base_.hybrid)
