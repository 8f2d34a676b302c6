"""A small PaQ-DINO with masks that learns from nothing in minutes.

python tools/dataset/make_digits.py
mim train mmdet_qrpaq configs/paq_dino_r18_4e_digits_masks.py
Measured: docs/masks.md.
"""

_base_ = './paq_dino_r18_4e_digits.py'

# A digit has about 500 of an image's 16384 pixels: Mask2Former's 12544 points, which
# are meant for images of a million, would only cost time.
model = dict(
    mask_branch=dict(_base_.mask_branch, num_points=1024),
    backbone=dict(out_indices=(0, 1, 2, 3)),
)
train_pipeline = [
    _base_.digits_train_dataloader.dataset.pipeline[0],
    dict(_base_.digits_train_dataloader.dataset.pipeline[1], with_mask=True),
    *_base_.digits_train_dataloader.dataset.pipeline[2:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = dict(metric=['bbox', 'segm'])
