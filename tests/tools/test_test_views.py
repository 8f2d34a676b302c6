"""`tools/test.py --tta`: the views of an image, merged."""

import json

import numpy as np
import pytest

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.runtime.configs import read_config
from mmdet_qrpaq.settings.test_time import augment_test
from tiny_runs import METHODS, load_tool, predictions, run_tool, save_untrained

LIMIT = 20  # max_per_img of the tiny model
VIEWS = """\
_base_ = [{base!r}]
tta_model = dict(
    type='DetTTAModel',
    tta_cfg=dict(nms=dict(type='nms', iou_threshold=1.0), max_per_img=100))
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='TestTimeAug', transforms=[
        [dict(type='RandomFlip', prob={prob})],
        [dict(
            type='PackDetInputs',
            meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                       'scale_factor', 'flip', 'flip_direction'))]])]
"""


@pytest.fixture(scope='module')
def tested(tiny_config, tiny_run, tmp_path_factory):
    """Map a name to the predictions of a test: plain, one view, mirrored, both."""
    folder = tmp_path_factory.mktemp('views')
    found = {}
    for name, prob in (
        ('plain', None),
        ('one', 0.0),
        ('mirrored', 1.0),
        ('both', None),
    ):
        config = tiny_config
        if prob is not None:
            config = folder / f'{name}.py'
            config.write_text(VIEWS.format(base=str(tiny_config), prob=prob))
        flags = [] if name == 'plain' else ['--tta']
        out = folder / f'{name}.pkl'
        arguments = ['--work-dir', folder / name, '--out', out, *flags]
        run_tool('test', config, tiny_run / 'epoch_2.pth', *arguments)
        found[name] = predictions(out)
        assert sorted(found[name]) == [0, 1, 2]
    return found


def ordered(instances: dict) -> np.ndarray:
    """Rows of score, label and box, best first."""
    columns = [instances['scores'][:, None], instances['labels'][:, None]]
    rows = np.hstack([*columns, instances['bboxes']])
    return rows[np.lexsort(rows.T[::-1])][::-1]


def iou(one: np.ndarray, other: np.ndarray) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    inside = np.prod(np.maximum(0, high - low))
    areas = [np.prod(box[2:] - box[:2]) for box in (one, other)]
    return inside / (sum(areas) - inside)


def merged(rows: np.ndarray) -> np.ndarray:
    """NMS of each class at an IoU of 0.5, box after box."""
    kept = []
    for row in sorted(rows, key=lambda row: -row[0]):
        rivals = [one for one in kept if one[1] == row[1]]
        if all(iou(one[2:], row[2:]) <= 0.5 for one in rivals):
            kept.append(row)
    return np.array(kept[:LIMIT])


def test_one_view_is_the_plain_test(tested):
    """Nothing is dropped at an IoU of 1."""
    for image, instances in tested['plain'].items():
        expected, found = ordered(instances), ordered(tested['one'][image])
        assert len(expected) == LIMIT
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_default_is_the_image_and_its_mirror_image(tested):
    """By a loop over the detections of the two views."""
    for image, instances in tested['both'].items():
        views = [tested[name][image] for name in ('one', 'mirrored')]
        expected = merged(np.vstack([ordered(view) for view in views]))
        assert 0 < len(expected) <= LIMIT
        found = ordered(instances)
        order = np.lexsort(expected.T[::-1])[::-1]
        np.testing.assert_allclose(found, expected[order], rtol=1e-4, atol=1e-4)
    mirrored, plain = (ordered(tested[name][0]) for name in ('mirrored', 'one'))
    assert not np.allclose(mirrored, plain, atol=1e-3)  # they are two views


def test_hooks_look_on_at_the_image_as_it_is(tiny_config, tmp_path):
    """The last view; they find the detector behind what merges."""
    config = tmp_path / 'methods.py'
    hooks = [dict(type='QueryRoutingHook'), dict(type='QueryUsageHook')]
    text = METHODS.format(base=str(tiny_config))
    config.write_text(f'{text}custom_hooks = {hooks!r}\n')
    save_untrained(config, tmp_path / 'untrained.pth')
    seen = []
    for flags in ([], ['--tta']):
        out = tmp_path / f'out{len(flags)}'
        arguments = ['--work-dir', out, '--show-dir', 'drawn', *flags]
        run_tool('test', config, tmp_path / 'untrained.pth', *arguments)
        (log,) = out.glob('2*/2*.json')
        found = json.loads(log.read_text())
        seen.append({k: v for k, v in found.items() if k.startswith(('rou', 'que'))})
        assert len(list(out.glob('*/drawn/*.png'))) == 3
    assert seen[0] == seen[1]
    assert {'queries/gini', 'routing/d0.layer'} <= set(seen[0])


@pytest.mark.parametrize(
    ('settings', 'sentence'),
    [
        ({'model.mask_branch': dict(type='MaskBranch')}, '--tta merges boxes alone'),
        ({'test_evaluator.metric': ['bbox', 'segm']}, '--tta merges boxes alone'),
        (
            {'test_dataloader.dataset.pipeline.3.type': 'Pack'},
            'test_dataloader.dataset.pipeline ends in Pack; set tta_pipeline',
        ),
    ],
)
def test_what_cannot_be_merged_is_refused(tiny_config, settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        augment_test(read_config(str(tiny_config), settings))


def test_types_with_a_scope_are_known(tiny_config):
    key = 'test_dataloader.dataset.pipeline.3.type'
    cfg = read_config(str(tiny_config), {key: 'mmdet.PackDetInputs'})
    augment_test(cfg)
    assert cfg.test_dataloader.dataset.pipeline[-1].type == 'TestTimeAug'
    cfg.default_hooks.visualization.type = 'mmdet.DetVisualizationHook'
    tool = load_tool('test')
    tool.draw_predictions(cfg, tool.parse_args(['a.py', 'a.pth', '--show-dir', 'x']))
    assert cfg.default_hooks.visualization.type == 'mmdet.AnyDepthVisualizationHook'


def test_every_joined_data_set_gets_the_views(tiny_config):
    cfg = read_config(str(tiny_config))
    leaf = cfg.test_dataloader.dataset.to_dict()
    cfg.test_dataloader.dataset = dict(type='ConcatDataset', datasets=[leaf, leaf])
    augment_test(cfg)
    ends = [one.pipeline[-1].type for one in cfg.test_dataloader.dataset.datasets]
    assert ends == ['TestTimeAug'] * 2 and cfg.model.type == 'DetTTAModel'
    assert cfg.model.tta_cfg.max_per_img == LIMIT
