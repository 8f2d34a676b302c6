"""The benchmark of the mask branch: what it compares, and when it refuses to."""

import json

import pytest
import torch
from mmengine.config import Config

from benchmarks.speed import masks
from benchmarks.speed import masks_timing as benchmark
from mmdet_qrpaq.errors import ConfigError
from tiny_hosts import MASKS, host_config


def pair():
    model = host_config('deformable', mask_branch=MASKS)
    return benchmark.build_pair(Config(dict(model=model)), 'cpu')


def test_both_times_and_their_ratio_are_recorded():
    boxes, with_masks = pair()
    assert boxes.mask_branch is None and with_masks.mask_branch is not None
    result = benchmark.measure(boxes, with_masks, torch.randn(1, 3, 64, 96), 2)
    json.dumps(result)
    assert result['masks_per_picture'] == 10
    low, high = result['ratio']['quartiles']
    assert 0 < low <= result['ratio']['median'] <= high


def test_nothing_is_timed_if_the_boxes_differ():
    boxes, with_masks = pair()
    torch.nn.init.normal_(boxes.bbox_head.reg_branches[0][-1].bias)
    with pytest.raises(RuntimeError, match='the mask branch changes the boxes'):
        benchmark.measure(boxes, with_masks, torch.randn(1, 3, 64, 96), 2)


def test_a_config_without_masks_is_refused(tmp_path):
    path = tmp_path / 'plain.py'
    path.write_text("model = dict(type='DINO')")
    with pytest.raises(ConfigError, match='plain.py has no model.mask_branch'):
        benchmark.build_pair(Config.fromfile(path), 'cpu')


@pytest.mark.parametrize('option', ['--size', '--batches', '--objects'])
def test_numbers_below_one_are_refused(option, capsys):
    with pytest.raises(SystemExit):
        masks.main([option, '0', '9'])
    assert f'{option}: must be a whole number from 1' in capsys.readouterr().err


def test_an_image_too_small_for_the_queries_is_one_sentence(tmp_path):
    """Four levels of it have 4 + 1 + 1 + 1 positions."""
    path = tmp_path / 'tiny.py'
    model = host_config('deformable_two_stage', mask_branch=MASKS)
    Config(dict(model=model)).dump(path)
    out = ['--repeats', '2', '--out', str(tmp_path / 'x.json')]
    told = 'an image of 16 x 16 has fewer positions than 12 queries; give a larger'
    with pytest.raises(ConfigError, match=told):
        masks.main([str(path), '--size', '16', '16', *out])


def test_memory_grows_with_the_objects_at_once_and_no_further():
    boxes, with_masks = pair()
    branch = with_masks.mask_branch
    # So many that the points, not the parameters' gradients, need the most.
    branch.sampling = branch.sampling._replace(num_points=20000)
    image = torch.randn(1, 3, 64, 64)

    def measured(at_once, count, **detectors):
        branch.at_once = at_once
        return benchmark.training_memory(detectors, image, count)

    all_at_once = measured(16, 12, masks=with_masks, boxes=boxes)
    assert all_at_once['boxes_bytes'] < all_at_once['masks_bytes']
    few, many = (measured(2, count, masks=with_masks) for count in (2, 12))
    assert many['masks_bytes'] < 1.5 * few['masks_bytes']
    assert many['masks_bytes'] < all_at_once['masks_bytes'] / 2


def test_objects_fill_their_boxes():
    torch.manual_seed(0)
    objects = benchmark.make_objects(5, 40, 60, 3)
    assert objects.masks.masks.shape == (5, 40, 60)
    x1, y1, x2, y2 = objects.bboxes.unbind(1)
    assert (x1 >= 0).all() and (x2 <= 60).all() and (y2 <= 40).all()
    area = torch.from_numpy(objects.masks.masks).sum((1, 2))
    assert torch.equal(area.float(), (x2 - x1) * (y2 - y1)) and (area > 0).all()
