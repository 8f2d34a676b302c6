"""When the learning rate drops, as named parts that a leaf binds beside `train_cfg`.

PaQ-DETR Sec. 4.1 drops at 11 of 12 and at 20 of 24 epochs. For 60 (CSD) and 120 (MSSD)
it says nothing: ours is the same share of the run as in 12 epochs.
"""

one_drop = dict(type='MultiStepLR', begin=0, by_epoch=True, gamma=0.1)
drop_at_11_of_12 = [dict(one_drop, end=12, milestones=[11])]
drop_at_20_of_24 = [dict(one_drop, end=24, milestones=[20])]
drop_at_55_of_60 = [dict(one_drop, end=60, milestones=[55])]
drop_at_110_of_120 = [dict(one_drop, end=120, milestones=[110])]
