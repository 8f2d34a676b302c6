"""Top-5 of the quality instead of top-4. PaQ-DETR Fig. 3(c), Sec. 4.3.

mim train mmdet_qrpaq configs/ablations/paq_dino_r50_12e_k_5.py \
    --gpus 8 --launcher pytorch
'Larger k values introduce low-quality matches.'
Expected AP: -; the figure's axis values are not in the text, which has no number.
Measured: not run.
"""

_base_ = '../paq_dino_r50_12e.py'

model = dict(bbox_head=dict(quality=dict(assigner=dict(candidate_topk=5))))
