"""CSD and MSSD of PaQ-DETR as COCO-format data, as named parts that a leaf binds.

Folders, and how to convert what you have: docs/data.md. The paper does not name the
classes. Put those of your copy here, in the order of its annotation files. With one
class, as below, every defect has the same name. The augmentation is COCO's.
"""

csd = dict(data_root='data/csd/', metainfo=dict(classes=('defect',)))
mssd = dict(data_root='data/mssd/', metainfo=dict(classes=('defect',)))

train_ann_file = 'annotations/instances_train.json'
val_ann_file = 'annotations/instances_val.json'
train_split = dict(ann_file=train_ann_file, data_prefix=dict(img='train/'))
val_split = dict(ann_file=val_ann_file, data_prefix=dict(img='val/'))
