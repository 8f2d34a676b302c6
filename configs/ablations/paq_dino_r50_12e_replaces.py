"""PaQ-DINO, ResNet-50, 900 queries, 12 epochs: one-to-one in the final layer alone.

Not in the papers as a row: Sec. 3.3 reads so, Eq. 9 has L_aux beside L_1:m.
mim train mmdet_qrpaq configs/ablations/paq_dino_r50_12e_replaces.py \
    --gpus 8 --launcher pytorch
Measured: not run. docs/paper_map.md.
"""

_base_ = '../paq_dino_r50_12e.py'

model = dict(bbox_head=dict(quality=dict(hungarian='replaces')))
