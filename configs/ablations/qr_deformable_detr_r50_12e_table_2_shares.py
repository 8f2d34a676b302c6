"""Shares that enter are those of QR-DETR Table 2, site by site: 47, 21 and 61 %.

mim train mmdet_qrpaq \
    configs/ablations/qr_deformable_detr_r50_12e_table_2_shares.py \
    --gpus 8 --launcher pytorch
Rule: `StandardizedPolicy`, one threshold by site. Gradient: straight-through. In the
paper the shares are learned; here they are set, and met if margins are like a bell.
Expected (paper): no number for set shares.
Measured: not run.
"""

_base_ = '../qr_deformable_detr_r50_12e.py'

model = dict(query_routing=dict(policy=dict(_delete_=True, **_base_.table_2_shares)))
