"""PaQ-DN-Deformable-DETR, ResNet-50, 300 queries, 12 epochs.

PaQ-DETR Table 1, row 'PaQ-DN-DETR' (300 queries).
mim train mmdet_qrpaq configs/paq_dn_deformable_detr_r50_12e.py \
    --gpus 8 --launcher pytorch
Expected (paper): AP 48.9, AP50 66.8, AP75 53.2 on COCO val2017; DN-DETR++ 47.3.
Measured: not run.
"""

_base_ = './dn_deformable_detr_r50_12e.py'

model = dict(
    type='QRPaQDNDeformableDETR',
    pattern_query=_base_.patterns_300,
    bbox_head=dict(
        type='QualityAwareDNDeformableDETRHead',
        quality=_base_.quality,
        loss_cls=dict(_delete_=True, **_base_.varifocal),
    ),
)
