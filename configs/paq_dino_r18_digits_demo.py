"""The PaQ-DINO of `make demo`: smaller still, so that it learns in some minutes.

python tools/dataset/make_digits.py
mim train mmdet_qrpaq configs/paq_dino_r18_digits_demo.py
Measured: benchmarks/results/demo_digits.json, quoted in the README.
"""

_base_ = './paq_dino_r18_4e_digits.py'

model = dict(
    num_queries=20,
    backbone=dict(base_channels=32),
    neck=dict(in_channels=[64, 128, 256]),
    decoder=dict(num_layers=2),
    dn_cfg=dict(group_cfg=dict(num_dn_queries=10)),
    test_cfg=dict(max_per_img=20),
)
half = dict(type='Resize', scale=(64, 64), keep_ratio=True)
loading, annotations, _, packing = _base_.digits_train_dataloader.dataset.pipeline
train_dataloader = dict(
    dataset=dict(pipeline=[loading, annotations, half, packing]),
)
loading, _, annotations, packing = _base_.digits_val_dataloader.dataset.pipeline
val_dataloader = dict(dataset=dict(pipeline=[loading, half, annotations, packing]))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(fused=True))
default_hooks = dict(logger=dict(interval=5))
log_processor = dict(window_size=5)
