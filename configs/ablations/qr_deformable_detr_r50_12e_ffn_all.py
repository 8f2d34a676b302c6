"""Every query passes the FFN (Eq. 10-11). QR-DETR Sec. 5.4c, no table.

mim train mmdet_qrpaq \
    configs/ablations/qr_deformable_detr_r50_12e_ffn_all.py \
    --gpus 8 --launcher pytorch
Rule: `StandardizedPolicy`, which sets the share (0.69). Gradient: straight-through.
Expected (paper): worse than the AP 43.1 of Table 1; no number.
Measured: not run.
"""

_base_ = '../qr_deformable_detr_r50_12e.py'

model = dict(query_routing=dict(ffn_scope='all'))
