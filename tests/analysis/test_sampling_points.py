"""Sampling points: a naive bilinear sum with them gives what the module gives."""

import json
from types import SimpleNamespace
from unittest import mock

import cv2
import jsonschema
import numpy as np
import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention
from torch import Tensor, nn

from mmdet_qrpaq.analysis.command_line import main, parse_args
from mmdet_qrpaq.analysis.listening import listening
from mmdet_qrpaq.analysis.queries.usage import observe
from mmdet_qrpaq.analysis.sampling.attention import (
    require_deformable,
    sampling_of,
    taking_samples,
)
from mmdet_qrpaq.analysis.sampling.points import (
    SCHEMA,
    find_images,
    measure,
    most_confident,
    tables,
)
from mmdet_qrpaq.analysis.sampling.section import SAMPLING
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.records.tables import print_table
from mmdet_qrpaq.runtime.building import build_model
from mmdet_qrpaq.runtime.configs import read_config
from tiny_hosts import NUM_QUERIES, ForcedPolicy, build_host, build_upstream, make_batch
from tiny_runs import CLASSES, CONFIG, run_script, save_untrained, write_dataset

SIZES = [(4, 5), (2, 3)]


def bilinear(cells: Tensor, x: float, y: float) -> Tensor:
    """Value at (x, y) in [0, 1] of a map (h, w, c); cells have their centres at .5."""
    height, width, _ = cells.shape
    column, row = x * width - 0.5, y * height - 0.5
    left, top = int(column // 1), int(row // 1)
    value = torch.zeros(cells.shape[-1])
    for i, j in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        if 0 <= i < height and 0 <= j < width:
            value += (1 - abs(row - i)) * (1 - abs(column - j)) * cells[i, j]
    return value


@pytest.mark.parametrize('batch_first', [True, False])
@pytest.mark.parametrize('coordinates', [2, 4])
def test_points_and_weights_give_the_output_of_the_module(coordinates, batch_first):
    torch.manual_seed(0)
    dim, heads, points, queries = 8, 2, 3, 3
    module = MultiScaleDeformableAttention(
        dim, heads, num_levels=2, num_points=points, batch_first=batch_first
    ).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    keys = sum(h * w for h, w in SIZES)
    arguments = dict(
        query=torch.randn(2, queries, dim),
        query_pos=torch.randn(2, queries, dim),
        value=torch.randn(2, keys, dim),
        identity=torch.zeros(2, queries, dim),
        reference_points=torch.rand(2, queries, 2, coordinates),
        spatial_shapes=torch.tensor(SIZES),
        level_start_index=torch.tensor([0, 20]),
    )
    value = arguments['value']
    if not batch_first:
        for name in ('query', 'query_pos', 'value', 'identity'):
            arguments[name] = arguments[name].transpose(0, 1)
    with torch.no_grad():
        expected = module(**arguments)
        places, weights = sampling_of(module, arguments)
        assert torch.allclose(weights.sum((-1, -2)), torch.ones(2, queries, heads))
        projected = module.value_proj(value).view(2, keys, heads, dim // heads)
        found = torch.zeros(2, queries, heads, dim // heads)
        for image, query, head, level, point in torch.cartesian_prod(
            *map(torch.arange, (2, queries, heads, 2, points))
        ).tolist():
            start, (height, width) = (0, 20)[level], SIZES[level]
            cells = projected[image, start : start + height * width, head]
            where = (image, query, head, level, point)
            sample = bilinear(cells.view(height, width, -1), *places[where].tolist())
            found[image, query, head] += weights[where] * sample
        found = module.output_proj(found.flatten(2))
    expected = expected if batch_first else expected.transpose(0, 1)
    assert torch.allclose(found, expected, atol=1e-5)


def test_routed_queries_are_followed_in_place():
    detector = build_host('deformable', 'qr').eval()
    detector.change_routing(policy=ForcedPolicy(0.4))
    batch = make_batch([0])
    settings = [layer.settings for layer in detector.routed_layers]

    def predict() -> Tensor:
        return detector(**batch, mode='tensor')[0]

    with torch.no_grad():
        expected = predict()
        with listening(detector) as heard, taking_samples(detector) as taken:
            assert torch.allclose(predict(), expected, atol=1e-5)
    assert [layer.settings for layer in detector.routed_layers] == settings
    assert not any(
        layer.cross_attn._forward_pre_hooks or layer._forward_hooks
        for layer in detector.routed_layers
    )
    enter = ForcedPolicy(0.4)(torch.zeros(1, NUM_QUERIES, 2)).enter
    assert len(heard.entered) == len(taken) == len(settings)
    for entered, (points, weights) in zip(heard.entered, taken, strict=True):
        assert torch.equal(entered, enter)
        assert points.shape == (1, NUM_QUERIES, 8, 4, 4, 2)
        assert weights.shape == (1, NUM_QUERIES, 8, 4, 4)


class Images:
    """Two images with padding to come; files are twice as large as the network's."""

    metainfo = dict(classes=('a', 'b', 'c'))

    def __init__(self, folder) -> None:
        self.paths = [str(folder / name) for name in ('x.png', 'y.png')]
        for path in self.paths:
            cv2.imwrite(path, np.full((120, 180, 3), 90, np.uint8))

    def __len__(self) -> int:
        return 2

    def get_data_info(self, index: int) -> dict:
        return dict(img_path=self.paths[index])

    def __getitem__(self, index: int) -> dict:
        batch = make_batch([0], [(60, 90)])
        sample = batch['data_samples'][0]
        sample.set_metainfo(
            dict(
                img_path=self.paths[index],
                scale_factor=(0.5, 0.5),
                ori_shape=(120, 180),
            )
        )
        image = (batch['inputs'][0].abs() * 50).byte()
        return dict(inputs=image, data_samples=sample)


def follow(detector: nn.Module, dataset: Images, **options) -> tuple:
    """Measure as much of a `TrainedModel` as is asked of it."""
    dataloader = SimpleNamespace(dataset=dataset)
    model = SimpleNamespace(
        detector=detector, dataloader=dataloader, classes=dataset.metainfo['classes']
    )
    return measure([model], **SAMPLING.choose(**options))


@pytest.mark.parametrize('name', ['dino', 'deformable', 'deformable_refine'])
def test_boxes_and_scores_are_those_of_the_prediction(name, tmp_path):
    detector = build_upstream(name).eval()
    dataset = Images(tmp_path)
    batch = dataset[1]
    with torch.no_grad():
        found = detector.test_step(
            dict(inputs=[batch['inputs']], data_samples=[batch['data_samples']])
        )[0].pred_instances
    numbers, _ = follow(detector, dataset, images=['y.png'], num_queries=2)
    (image,) = numbers['pictures']
    assert image['name'] == 'y.png' and len(image['layers']) == 3
    first = image['queries'][0]
    assert first['score'] == pytest.approx(found.scores[0].item(), abs=1e-6)
    assert first['label'] == 'abc'[found.labels[0]]
    last = image['layers'][-1]['queries']
    # Predictions are clipped to the image.
    box = torch.tensor(last[0]['box'])
    box[0::2].clamp_(0, 180)
    box[1::2].clamp_(0, 120)
    assert torch.allclose(box, found.bboxes[0], atol=1e-2)
    # A new model looks around the centre of the reference it starts from; in file
    # pixels that is inside the image.
    centre = torch.tensor([query['points'] for query in last]).mean(1)
    assert ((centre > 0) & (centre < torch.tensor([180, 120]))).all()


def test_the_best_query_of_each_object_is_chosen():
    # Query 2 is best; 0 found the same object (IoU 0.8); 1 and 3 are elsewhere.
    boxes = torch.tensor(
        [[0, 0, 8, 10], [20, 0, 30, 10], [0, 0, 10, 10], [0, 20, 9, 29]]
    )
    scores = torch.tensor([0.8, 0.1, 0.9, 0.3])
    assert most_confident(boxes.float(), scores, 3) == [2, 3, 1]
    assert most_confident(boxes.float(), scores, 2) == [2, 3]
    assert most_confident(boxes.float(), scores, 9) == [2, 3, 1]


def test_bypassed_queries_do_not_look(tmp_path):
    detector = build_host('dino', 'qr').eval()
    detector.change_routing(policy=ForcedPolicy(0.5))
    enter = ForcedPolicy(0.5)(torch.zeros(1, NUM_QUERIES, 2)).enter[0]
    chosen = [int(enter.nonzero()[0]), int((~enter).nonzero()[0])]
    numbers, figure = follow(detector, Images(tmp_path), num_images=1, queries=chosen)
    jsonschema.validate(json.loads(json.dumps(numbers)), SCHEMA)
    assert numbers['num_queries'] == NUM_QUERIES
    (image,) = numbers['pictures']
    assert [query['index'] for query in image['queries']] == chosen
    samples = 8 * 4 * 4
    for layer in image['layers']:
        assert layer['num_entered'] == int(enter.sum())
        inside, outside = layer['queries']
        assert (inside['entered'], outside['entered']) == (True, False)
        assert len(inside['points']) == len(inside['weights']) == samples
        looks = layer['site'] == 'self_attn'
        assert len(outside['points']) == (samples if looks else 0)
    figure.canvas.draw()
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert sorted(texts) == ['bypassed', 'bypassed', 'bypassed self-attention']


def test_what_has_no_sampling_points_is_told(tmp_path):
    for name in ('conditional', 'dab'):
        with pytest.raises(ConfigError, match='no deformable cross-attention'):
            require_deformable(build_upstream(name))
    other = read_config('mmdet::retinanet/retinanet_r18_fpn_1x_coco.py')
    with pytest.raises(ConfigError, match='decoder of this RetinaNet'):
        require_deformable(build_model(other))
    routed = build_host('deformable', 'qr')
    routed.change_routing(regroup='concat')
    with pytest.raises(ConfigError, match="regroup='concat'"):
        require_deformable(routed)
    with pytest.raises(ConfigError, match="regroup='concat'"):
        observe([SimpleNamespace(detector=routed)], 0.3, 0.5)
    detector, dataset = build_upstream('deformable').eval(), Images(tmp_path)
    for queries in ([12], [0, -1]):
        with pytest.raises(ConfigError, match='queries 0 to 11'):
            follow(detector, dataset, queries=queries)
    assert find_images(dataset, ['y.png']) == [1]
    with pytest.raises(ConfigError, match='no image z.png; .* x.png'):
        find_images(dataset, ['z.png'])


@pytest.mark.parametrize('option', ['--num-images', '--num-pictures', '--num-queries'])
def test_at_least_one_image_and_one_query(option, capsys):
    words = ['c.py', 'c.pth', option]
    assert parse_args(SAMPLING, '', [*words, '5'])
    with pytest.raises(SystemExit) as end:
        parse_args(SAMPLING, '', [*words, '0'])
    assert end.value.code == 2
    assert f'{option}: must be a whole number from 1, got 0' in capsys.readouterr().err


def test_the_first_images_are_followed_in_order(tmp_path):
    detector, dataset = build_upstream('deformable').eval(), Images(tmp_path)
    for number, names in ((1, ['x.png']), (5, ['x.png', 'y.png'])):
        numbers, _ = follow(detector, dataset, num_images=number)
        assert [image['name'] for image in numbers['pictures']] == names


def test_images_of_one_name_are_told_apart():
    paths = ['data/a/1.png', 'data/b/1.png', 'data/b/11.png']
    dataset = mock.MagicMock()
    dataset.__len__.return_value = len(paths)
    dataset.get_data_info = lambda index: dict(img_path=paths[index])
    assert find_images(dataset, ['b/1.png', '11.png', paths[0]]) == [1, 2, 0]
    with pytest.raises(ConfigError, match='1.png is data/a/1.png and data/b/1.png'):
        find_images(dataset, ['1.png'])


def test_the_command(tmp_path, capsys):
    root = write_dataset(tmp_path / 'data', num_train=0, num_val=2)
    config = tmp_path / 'tiny.py'
    config.write_text(CONFIG.format(classes=CLASSES, root=str(root)))
    checkpoint = tmp_path / 'tiny.pth'
    detector = save_untrained(config, checkpoint)
    out = tmp_path / 'points.json'
    options = ['--images', 'val_1.png', '--queries', '2', '--out', out]
    run_script('analysis/sampling_points', config, checkpoint, *options)
    told = capsys.readouterr().out
    numbers = json.loads(out.read_text())['numbers']
    (image,) = numbers['pictures']
    assert image['name'] == 'val_1.png' and image['queries'][0]['index'] == 2
    for table in tables(numbers):
        print_table(table)
    printed = capsys.readouterr().out
    assert 'val_1.png' in printed and printed in told
    assert out.with_suffix('.png').stat().st_size > 10_000
    detector.level_embed.data[0, 0] = float('nan')
    torch.save(dict(state_dict=detector.state_dict()), checkpoint)
    with pytest.raises(ConfigError, match=r'tiny.pth holds NaN .*first level_embed'):
        main(SAMPLING, '', [str(word) for word in (config, checkpoint, *options)])
