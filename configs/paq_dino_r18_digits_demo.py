"""The PaQ-DINO of `make demo`: smaller still, so that it learns in some minutes.

python tools/dataset/make_digits.py
mim train mmdet_qrpaq configs/paq_dino_r18_digits_demo.py
Measured: benchmarks/results/demo_digits.json, quoted in the README.
"""

_base_ = './paq_dino_r18_4e_digits.py'

# Duplicates cost most at first: few positives, and more weight on the classes.
few, classes = dict(assigner=dict(candidate_topk=2)), dict(loss_weight=2.0)
model = dict(
    num_queries=20,
    backbone=dict(base_channels=32),
    neck=dict(in_channels=[64, 128, 256]),
    decoder=dict(num_layers=2),
    dn_cfg=dict(group_cfg=dict(num_dn_queries=10)),
    bbox_head=dict(quality=few, loss_cls=classes),
    test_cfg=dict(max_per_img=20),
)
half = dict(type='Resize', scale=(64, 64), keep_ratio=True)
load, boxes, _, pack = _base_.train_dataloader.dataset.pipeline
train_dataloader = dict(dataset=dict(pipeline=[load, boxes, half, pack]))
pack = _base_.val_dataloader.dataset.pipeline[-1]
val_dataloader = dict(dataset=dict(pipeline=[load, half, boxes, pack]))
test_dataloader, train_cfg = val_dataloader, dict(max_epochs=5)
warm, cosine = _base_.param_scheduler
param_scheduler = [warm, dict(cosine, end=5, T_max=5)]
optim_wrapper = dict(_base_.merged_groups, optimizer=dict(lr=1e-3, fused=True))
default_hooks, log_processor = dict(logger=dict(interval=1)), dict(window_size=5)
