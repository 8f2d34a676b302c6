"""A tiny COCO-format data set and DINO config, and how the tools' tests run them."""

import importlib.util
import json
import pickle
import runpy
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

import cv2
import numpy as np
import torch
from mmdet.visualization import DetLocalVisualizer
from mmengine.model import revert_sync_batchnorm
from mmengine.visualization import Visualizer

from mmdet_qrpaq.runtime.building import build_model
from mmdet_qrpaq.runtime.configs import read_config

TOOLS = Path(__file__).parents[1] / 'tools'
CLASSES = ('square', 'disc')
CONFIG = """\
_base_ = ['mmdet::dino/dino-4scale_r50_improved_8xb2-12e_coco.py']
custom_imports = dict(imports=['mmdet_qrpaq'], allow_failed_imports=False)
metainfo = dict(classes={classes!r})
data_root = {root!r}
model = dict(
    num_queries=20,
    backbone=dict(depth=18, base_channels=16, init_cfg=None),
    neck=dict(in_channels=[32, 64, 128]),
    encoder=dict(num_layers=1, layer_cfg=dict(ffn_cfg=dict(feedforward_channels=64))),
    decoder=dict(num_layers=2, layer_cfg=dict(ffn_cfg=dict(feedforward_channels=64))),
    bbox_head=dict(num_classes=2),
    dn_cfg=dict(group_cfg=dict(num_dn_queries=4)),
    test_cfg=dict(max_per_img=20))
pack = dict(
    type='PackDetInputs',
    meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    persistent_workers=True,
    dataset=dict(
        data_root=data_root,
        ann_file='train.json',
        data_prefix=dict(img='images/'),
        metainfo=metainfo,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'),
            dict(type='PackDetInputs')]))
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root=data_root,
        ann_file='val.json',
        data_prefix=dict(img='images/'),
        metainfo=metainfo,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(64, 64), keep_ratio=True),
            dict(type='LoadAnnotations', with_bbox=True),
            pack]))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + '/val.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=2)
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(interval=1, save_best='coco/bbox_mAP', rule='greater'))
custom_hooks = [dict(type='EMAHook', momentum=0.01)]
"""

# The same with both methods on; a config of its own, above that of the host.
METHODS = """\
_base_ = [{base!r}]
model = dict(
    type='QRPaQDINO',
    query_routing=dict(schedule=('layer', 'self_attn')),
    pattern_query=dict(type='PatternQueryGenerator', num_patterns=5, hidden_dims=16))
"""


def write_dataset(root: Path, num_train: int = 4, num_val: int = 3) -> Path:
    """Draw one bright square and one disc on each 64 px image; COCO format."""
    images = root / 'images'
    images.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, count in (('train', num_train), ('val', num_val)):
        coco = dict(
            images=[],
            annotations=[],
            categories=[dict(id=i + 1, name=n) for i, n in enumerate(CLASSES)],
        )
        for i in range(count):
            image = rng.integers(0, 60, (64, 64, 3), dtype=np.uint8)
            x, y = (int(v) for v in rng.integers(2, 10, 2))
            cv2.rectangle(image, (x, y), (x + 20, y + 20), (255, 255, 255), -1)
            cv2.circle(image, (46, 46), 10, (0, 200, 255), -1)
            name = f'{split}_{i}.png'
            cv2.imwrite(str(images / name), image)
            coco['images'].append(dict(id=i, file_name=name, width=64, height=64))
            for category, box in ((1, [x, y, 20, 20]), (2, [36, 36, 20, 20])):
                coco['annotations'].append(
                    dict(
                        id=len(coco['annotations']) + 1,
                        image_id=i,
                        category_id=category,
                        bbox=box,
                        area=400,
                        iscrowd=0,
                    )
                )
        (root / f'{split}.json').write_text(json.dumps(coco))
    return root


def run_tool(name: str, *arguments: object) -> None:
    """Call `main` of `tools/<name>.py` in this process."""
    # mmengine keeps one visualiser per process, which would log into the first run.
    for kind in (DetLocalVisualizer, Visualizer):
        kind._instance_dict.clear()
    # Formatting the logged config takes longer than this training does (upstream's
    # mmengine; OneDL's has no such name).
    formatting = 'mmengine.config.config.FormatCode'
    with mock.patch(formatting, lambda text, **_: (text, 1), create=True):
        load_tool(name).main([str(argument) for argument in arguments])


def run_script(name: str, *arguments: object) -> None:
    """Run `tools/<name>.py` as a command would, in this process."""
    path = str(TOOLS / f'{name}.py')
    with mock.patch.object(sys, 'argv', [path, *map(str, arguments)]):
        runpy.run_path(path, run_name='__main__')


def save_untrained(config: Path, checkpoint: Path) -> torch.nn.Module:
    """Save a config's model as it starts, without training; return it in eval mode."""
    torch.manual_seed(0)
    detector = revert_sync_batchnorm(build_model(read_config(str(config))))
    detector.init_weights()
    torch.save(dict(meta={}, state_dict=detector.state_dict()), checkpoint)
    return detector.eval()


def load_tool(name: str) -> ModuleType:
    """Import `tools/<name>.py`."""
    path = TOOLS / f'{name}.py'
    spec = importlib.util.spec_from_file_location(f'qrpaq_tools_{name}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def logged_losses(work_dir: Path) -> dict[int, float]:
    """Map iteration to the logged total loss of the latest run in `work_dir`."""
    return logged(work_dir, 'loss')


def logged(work_dir: Path, name: str) -> dict[int, float]:
    """Map iteration to what the latest run in `work_dir` logged under a name."""
    log = max(work_dir.glob('*/vis_data/2*.json'))
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return {r['iter']: r[name] for r in records if name in r}


def metrics(work_dir: Path) -> dict:
    """What `tools/test.py` found."""
    return json.loads(next(work_dir.glob('2*/2*.json')).read_text())


def predictions(path: Path) -> dict[int, dict[str, np.ndarray]]:
    """What `tools/test.py --out` wrote, by image id."""
    samples = pickle.loads(path.read_bytes())
    return {
        sample['img_id']: {
            key: np.asarray(value) for key, value in sample['pred_instances'].items()
        }
        for sample in samples
    }


def believe(predicted: dict, truth: Path, path: Path) -> None:
    """Write an annotation file whose objects are every second prediction.

    The model has hardly been trained: without this, every AP would be zero.
    """
    coco = json.loads(truth.read_text())
    coco['annotations'] = []
    for image, instances in predicted.items():
        for box, label in zip(instances['bboxes'], instances['labels'], strict=True):
            left, top, right, bottom = box.tolist()
            size = [right - left, bottom - top]
            coco['annotations'].append(
                dict(
                    id=len(coco['annotations']) + 1,
                    image_id=image,
                    category_id=int(label) + 1,
                    bbox=[left, top, *size],
                    area=size[0] * size[1],
                    iscrowd=0,
                )
            )
    coco['annotations'] = coco['annotations'][::2]
    path.write_text(json.dumps(coco))
