"""The leaves of PaQ-DETR Table 8, beyond what every leaf must keep."""

import ast
import re

import pytest
from mmengine.config import Config

from leaves import (
    CONFIGS,
    LEAVES,
    MASKS,
    PAPER,
    PAPER_MASKS,
    differences,
    read,
    settings,
)
from tiny_hosts import REPOSITORY

HOST = 'deformable_detr_pp_r50'
DIGITS = 'paq_dino_r18_4e_digits'
# PaQ over a host that has our head already.
PAQ = {f'model.{key}' for key in ('pattern_query', 'bbox_head.quality')}
PAQ |= {'model.bbox_head.loss_cls'}
SCHEDULE = {'max_epochs', 'train_cfg.max_epochs', 'param_scheduler'}
DATA = ('masks', 'masks_cityscapes')


@pytest.mark.parametrize(
    ('name', 'beside', 'changes'),
    [
        (f'{HOST}_12e_masks', f'{HOST}_12e', MASKS | {'model.type'}),
        (f'{DIGITS}_masks', DIGITS, MASKS - {'model.bbox_head.type'}),
    ]
    + [
        (f'paq_{HOST}_{n}e_{data}', f'{HOST}_{n}e_{data}', PAQ)
        for n in (12, 24)
        for data in DATA
    ]
    + [(f'{HOST}_24e_{data}', f'{HOST}_12e_{data}', SCHEDULE) for data in DATA],
)
def test_leaves_to_compare_differ_in_one_thing(name, beside, changes):
    found = differences(settings(name), settings(beside))
    # The parts of a loss of another type are listed one by one.
    assert {re.sub(r'(loss_cls)\..*', r'\1', item) for item in found} == changes


def steps(dataloader) -> list:
    dataset = dataloader.dataset
    return dataset.get('dataset', dataset).pipeline


@pytest.mark.parametrize('name', PAPER_MASKS)
def test_header_and_page_have_the_mask_ap_too(name):
    header = ast.get_docstring(ast.parse(LEAVES[name].read_text()))
    box, mask = PAPER[name][1], PAPER_MASKS[name]
    assert f'AP {box}, mask AP {mask} on' in header
    page = (REPOSITORY / 'docs/configs.md').read_text()
    assert re.search(
        rf'^\| \[{name}\]\([^|]+\|[^|]+\| {box} \| {mask} \| - \|$', page, re.M
    )


@pytest.mark.parametrize('name', [name for name in LEAVES if '_masks' in name])
def test_masks_are_made_loaded_and_judged(name):
    config = read(name)
    assert config.model.mask_branch.type == 'MaskBranch'
    # The neck goes on taking the last three.
    assert tuple(config.model.backbone.out_indices) == (0, 1, 2, 3)
    assert len(config.model.neck.in_channels) == 3
    loader = [s for s in steps(config.train_dataloader) if s.type == 'LoadAnnotations']
    assert [step.with_mask for step in loader] == [True]
    assert (
        config.val_evaluator.metric == config.test_evaluator.metric == ['bbox', 'segm']
    )
    if name in PAPER_MASKS:
        # Mask2Former's, as written in mmdet's own config.
        upstream = Config.fromstring(
            "_base_ = ['mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py']",
            '.py',
        ).model
        branch, head = config.model.mask_branch, upstream.panoptic_head
        assert differences(branch.loss_mask, head.loss_mask) == {'reduction'}
        assert differences(branch.loss_dice, head.loss_dice) == {
            'reduction',  # all of these are the defaults
            'use_sigmoid',
            'activate',
        }
        for key in ('num_points', 'oversample_ratio', 'importance_sample_ratio'):
            assert branch[key] == upstream.train_cfg[key]


def test_cityscapes_is_upstreams():
    ours = Config.fromfile(CONFIGS / '_base_' / 'cityscapes.py')
    theirs = Config.fromstring(
        "_base_ = ['mmdet::_base_/datasets/cityscapes_instance.py']", '.py'
    )
    theirs = without_scope(theirs._cfg_dict.to_dict())
    mine = ours._cfg_dict.to_dict()
    found = differences(mine['cityscapes_train_dataloader'], theirs['train_dataloader'])
    assert found == {'batch_size'}
    assert not differences(mine['cityscapes_val_dataloader'], theirs['val_dataloader'])
    assert mine['cityscapes_val_evaluator'] == theirs['val_evaluator'][0]


def without_scope(item):
    if isinstance(item, dict):
        return {k: without_scope(v) for k, v in item.items() if k != '_scope_'}
    if isinstance(item, list):
        return [without_scope(value) for value in item]
    return item
