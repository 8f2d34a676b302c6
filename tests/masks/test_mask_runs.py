"""A tiny PaQ-DINO with masks through the commands users type, and what stops it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer
from mmengine.config import Config
from pycocotools import mask as coco_mask

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.runtime.preflight import preflight
from tiny_runs import CLASSES, CONFIG, logged_losses, run_tool, write_dataset

MASKS = """
custom_imports = dict(imports=['mmdet_qrpaq'], allow_failed_imports=False)
model = dict(
    type='QRPaQDINO',
    mask_branch=dict(num_points=64),
    query_routing=dict(schedule=('layer',)),
    pattern_query=dict(num_patterns=4),
    backbone=dict(out_indices=(0, 1, 2, 3)),
    bbox_head=dict(
        type='QualityAwareDINOHead',
        quality=dict(),
        loss_cls=dict(_delete_=True, type='IoUAwareVarifocalLoss')))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1)
"""


def circle(x, y, radius):
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    points = np.stack((x + radius * np.cos(angles), y + radius * np.sin(angles)), 1)
    return points.ravel().round(2).tolist()


def outlined(root: Path) -> None:
    """Gives the square and the disc of `tiny_runs` polygons, and a crowd in RLE."""
    for split in ('train', 'val'):
        coco = json.loads((root / f'{split}.json').read_text())
        for entry in coco['annotations']:
            x, y, w, h = entry['bbox']
            outline = [x, y, x + w, y, x + w, y + h, x, y + h]
            if entry['category_id'] == 2:
                outline = circle(46, 46, 10)
            entry['segmentation'] = [outline]
        crowd = np.zeros((64, 64), np.uint8, order='F')
        crowd[40:60, 2:22] = 1
        rle = coco_mask.encode(crowd)
        coco['annotations'].append(
            dict(
                id=1000,
                image_id=0,
                category_id=1,
                bbox=[2, 40, 20, 20],
                area=400,
                iscrowd=1,
                segmentation=dict(size=[64, 64], counts=rle['counts'].decode()),
            )
        )
        (root / f'{split}.json').write_text(json.dumps(coco))


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Path:
    root = write_dataset(tmp_path_factory.mktemp('outlined') / 'data')
    outlined(root)
    base = root.parent / 'base.py'
    base.write_text(CONFIG.format(classes=CLASSES, root=str(root)))
    path = root.parent / 'masks.py'
    path.write_text("_base_ = './base.py'\n" + MASKS)
    return path


@pytest.fixture(scope='module')
def run(config: Path) -> Path:
    work_dir = config.parent / 'run'
    run_tool('train', config, '--work-dir', work_dir)
    return work_dir


def test_training_validates_masks_and_a_checkpoint_tests(config, run, tmp_path):
    log = max(run.glob('*/vis_data/2*.json')).read_text().splitlines()
    records = [json.loads(line) for line in log]
    steps = [record for record in records if 'loss_mask' in record]
    assert len(steps) == len(logged_losses(run)) == 2
    assert all(np.isfinite(step['loss_mask'] + step['d0.loss_dice']) for step in steps)
    validated = [record for record in records if 'coco/segm_mAP' in record]
    assert len(validated) == 1 and validated[0]['coco/segm_mAP'] >= 0

    out, drawn = tmp_path / 'results.pkl', tmp_path / 'drawn'
    run_tool(
        'test',
        config,
        run / 'epoch_1.pth',
        '--work-dir',
        tmp_path,
        '--out',
        out,
        '--show-dir',
        drawn,
    )
    found = json.loads(next(tmp_path.glob('2*/2*.json')).read_text())
    # With the averaged weights, as in the validation.
    for key in ('coco/segm_mAP', 'coco/bbox_mAP'):
        assert found[key] == validated[0][key]
    assert len(list(drawn.rglob('*.png'))) == 3


def left_half(embeddings, pixels, img_shape, out_shape, at_once):
    masks = torch.zeros(len(embeddings), *out_shape, dtype=torch.bool)
    masks[..., : out_shape[1] // 2] = True
    return masks


def test_the_inferencer_draws_masks(config, run, tmp_path, monkeypatch):
    # Hardly trained, it finds no masks of its own.
    monkeypatch.setattr('mmdet_qrpaq.masks.mask_branch.draw_masks', left_half)
    model = DetInferencer(
        Config.fromfile(config),
        str(run / 'epoch_1.pth'),
        device='cpu',
        show_progress=False,
    )
    image = config.parent / 'data' / 'images' / 'val_0.png'
    for name, limit in (('all', 0.0), ('none', 1.0)):
        folder = str(tmp_path / name)
        found = model(
            str(image), no_save_pred=False, out_dir=folder, pred_score_thr=limit
        )
    # Predictions are saved as RLE of the image's size.
    (saved,) = found['predictions']
    assert len(saved['masks']) == len(saved['scores']) == 20
    expected = left_half(range(20), None, None, (64, 64), None)
    assert (coco_mask.decode(saved['masks']) == expected.permute(1, 2, 0).numpy()).all()
    drawn, plain = (
        cv2.imread(str(tmp_path / name / 'vis' / 'val_0.png'))
        for name in ('all', 'none')
    )
    assert (drawn != plain).any(-1)[:, :32].mean() > 0.9


def test_predictions_hold_and_draw_masks(config, run, tmp_path, monkeypatch):
    monkeypatch.setattr('mmdet_qrpaq.masks.mask_branch.draw_masks', left_half)
    checkpoint = run / 'epoch_1.pth'
    image = config.parent / 'data' / 'images' / 'val_0.png'
    words = [checkpoint, image, '--threshold', 0, '--out']
    run_tool('predict', *words, tmp_path / 'out')
    found = json.loads((tmp_path / 'out' / 'predictions.json').read_text())
    masks = coco_mask.decode([result['segmentation'] for result in found])
    expected = left_half(range(20), None, None, (64, 64), None)
    assert (masks == expected.permute(1, 2, 0).numpy()).all()
    drawn = cv2.imread(str(tmp_path / 'out' / 'drawn' / 'val_0.png'))
    plain = cv2.imread(str(image))
    assert (drawn != plain).any(-1)[:, :32].mean() > 0.9
    # The same in tiles: outlines, and boxes around them.
    pytest.importorskip('sahi')
    run_tool('predict', *words, tmp_path / 'tiled', '--tiles', 48)
    found = json.loads((tmp_path / 'tiled' / 'predictions.json').read_text())
    boxes = coco_mask.toBbox([result['segmentation'] for result in found])
    assert len(found) and boxes[:, 2:].min() > 20
    for result, box in zip(found, boxes.tolist(), strict=True):
        assert result['bbox'] == pytest.approx(box, abs=1.01)


def changed(config: Path, change, tmp_path: Path, **options) -> Config:
    """The config over a copy of the data whose annotations `change` edits."""
    cfg = Config.fromfile(config)
    cfg.work_dir = str(tmp_path)
    for split in ('train', 'val'):
        coco = json.loads((config.parent / 'data' / f'{split}.json').read_text())
        change(coco['annotations'])
        path = tmp_path / f'{split}.json'
        path.write_text(json.dumps(coco))
        cfg[f'{split}_dataloader'].dataset.ann_file = str(path)
    cfg.val_evaluator.ann_file = str(tmp_path / 'val.json')
    cfg.merge_from_dict(options)
    return cfg


def lack_masks(annotations: list) -> None:
    for entry in annotations[:2]:
        entry['segmentation'] = []


def lack_a_mask_nobody_reads(annotations: list) -> None:
    annotations[0].update(segmentation=[], bbox=[3, 3, 0.5, 0.5], area=0.25)


def test_objects_without_masks_stop_training_before_it_starts(config, tmp_path):
    cfg = changed(config, lack_masks, tmp_path)
    with pytest.raises(
        ConfigError,
        match=r'train.json, annotation 1 in image train_0.png: its segmentation is '
        r'missing or empty \(as in 1 more\)',
    ):
        preflight(cfg, ('train', 'val'))
    # Boxes alone need none.
    cfg.model.mask_branch = None
    cfg.model.backbone.out_indices = (1, 2, 3)
    cfg.train_dataloader.dataset.pipeline[1].with_mask = False
    cfg.val_evaluator.metric = 'bbox'
    preflight(cfg, ('train', 'val'))


def test_what_upstream_leaves_out_needs_no_mask(config, tmp_path):
    cfg = changed(config, lack_a_mask_nobody_reads, tmp_path)
    cfg.val_evaluator.metric = 'bbox'
    preflight(cfg, ('train', 'val'))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'train_dataloader.dataset.pipeline.1.with_mask': False},
            'train_dataloader.dataset.pipeline loads no masks: give its',
        ),
        (
            {'model.mask_branch': None, 'model.backbone.out_indices': (1, 2, 3)},
            "val_evaluator.metric asks for 'segm' and the model makes no masks",
        ),
        (
            {'train_dataloader.dataset.pipeline.1.with_mask': True},
            'val.json, annotation 1 .*as in 1 more.*and val_evaluator needs masks',
        ),
    ],
    ids=['not loaded', 'not made', 'not judged'],
)
def test_what_makes_loads_and_judges_masks_must_agree(
    config, tmp_path, options, message
):
    not_judged = 'as in' in message
    change = lack_masks if not_judged else lambda annotations: None
    cfg = changed(config, change, tmp_path, **options)
    stages = ('val',) if not_judged else ('train', 'val')
    with pytest.raises(ConfigError, match=message):
        preflight(cfg, stages)


def test_a_detector_without_masks_says_which_have_them(config, tmp_path):
    cfg = changed(config, lambda annotations: None, tmp_path)
    cfg.model.type = 'DINO'
    for key in ('query_routing', 'pattern_query'):
        del cfg.model[key]
    with pytest.raises(
        ConfigError, match='mask_branch is unknown: .* a deformable host'
    ):
        preflight(cfg, ('train', 'val'))
