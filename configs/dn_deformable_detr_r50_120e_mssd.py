"""DN-Deformable-DETR, ResNet-50, 300 queries, 120 epochs on MSSD.

PaQ-DETR Table 5, row 'DN-DETR'. Folders and classes: docs/data.md.
mim train mmdet_qrpaq configs/dn_deformable_detr_r50_120e_mssd.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 45.6, AP50 74.1.
Measured: not run.
The paper gives no learning-rate drop for this schedule; ours is at epoch 110.
The host of Table 1 at 300 queries; which the paper uses here it does not say.
"""

_base_ = './dino_r50_120e_mssd.py'

model = dict(
    type='DNDeformableDETR',
    select_first=True,
    num_queries=300,
    dn_cfg=dict(_delete_=True, **_base_.dn_groups),
    bbox_head=dict(type='DNDeformableDETRHead'),
)
