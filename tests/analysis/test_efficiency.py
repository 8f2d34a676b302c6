"""What models cost: ratios by hand, real pictures, and the command."""

import json
import sys

import jsonschema
import numpy as np
import pytest
import torch

from mmdet_qrpaq.analysis.cost.complexity import Complexity
from mmdet_qrpaq.analysis.cost.efficiency import measure_efficiency, steps
from mmdet_qrpaq.analysis.cost.efficiency_figure import draw_efficiency
from mmdet_qrpaq.analysis.cost.efficiency_result import (
    SCHEMA,
    BatchCost,
    Efficiency,
    ModelCost,
)
from mmdet_qrpaq.errors import ConfigError
from tiny_hosts import ForcedPolicy, build_host, build_upstream, make_batch
from tiny_runs import CLASSES, CONFIG, TOOLS, run_tool, write_dataset

sys.path.insert(0, str(TOOLS / 'analysis'))


class Pictures:
    """As a data set packs them: three pictures, two of one size."""

    def __init__(self) -> None:
        self.items = [
            make_batch([0], [size]) for size in ((64, 96), (64, 96), (96, 96))
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict:
        sample = self.items[index]['data_samples'][0].clone()
        sample.set_metainfo(dict(img_path=f'folder/{index}.png'))
        picture = (self.items[index]['inputs'][0].abs() * 50).byte()
        return dict(inputs=picture, data_samples=sample)


def cost(params: int, flops: list[int], peak: int, seconds: list[list[float]]):
    counted = [
        Complexity(params=dict(backbone=params), flops=dict(backbone=one, decoder=1))
        for one in flops
    ]
    stages = [dict(backbone=a, decoder=b) for a, b in seconds]
    batch = BatchCost(batch_size=2, peak_bytes=peak, stages=stages)
    return ModelCost('m', 'DINO', counted, 4 * params, [batch])


def test_ratios_by_hand():
    host = cost(100, [999, 1999], 50, [[1, 1], [2, 2], [1, 3]])
    ours = cost(110, [1499, 1499], 100, [[2, 1], [1, 1], [2, 4]])
    # Seconds 2, 4, 4 and 3, 2, 6, pair by pair: 1.5, 0.5, 1.5.
    assert ours.ratios(host) == dict(
        params=1.1,
        flops=1.0,
        batches=[dict(peak_bytes=2.0, seconds=dict(median=1.5, quartiles=[1.0, 1.5]))],
    )
    numbers = Efficiency({}, [host, ours]).as_dict()['models']
    assert numbers[0]['flops'] == dict(mean=1500, std=500)
    assert numbers[1]['flops'] == dict(mean=1500, std=0)
    assert numbers[0]['flops_by_stage']['decoder'] == dict(mean=1, std=0)
    batch = numbers[1]['batches'][0]
    assert batch['stages'] == dict(backbone=2, decoder=1)
    assert (batch['p50'], batch['seconds']) == (3, [3, 2, 6])
    assert batch['p95'] == pytest.approx(3 + 0.9 * 3)
    assert (
        host.ratios(cost(100, [999], 0, [[1, 1]] * 3))['batches'][0]['peak_bytes']
        is None
    )


@pytest.fixture(scope='module')
def measured() -> Efficiency:
    """Two equal upstream models and a routed one that skips half of its work."""
    routed = build_host('deformable', 'qr').eval()
    routed.change_routing(policy=ForcedPolicy(0.5, 0.5))
    detectors = dict(
        host=build_upstream('deformable').eval(),
        same=build_upstream('deformable').eval(),
        routed=routed,
    )
    counted = []
    result = measure_efficiency(
        detectors,
        Pictures(),
        batch_sizes=(1, 2),
        repeats=3,
        hardware='a machine',
        advance=lambda: counted.append(1),
    )
    assert len(counted) == steps(3, 3, 2, 3)
    return result


def test_equal_models_cost_the_same(measured):
    host, same, _ = measured.models
    assert [one.flops for one in host.counted] == [one.flops for one in same.counted]
    ratios = same.ratios(host)
    assert ratios['flops'] == ratios['params'] == 1
    assert [batch['peak_bytes'] for batch in ratios['batches']] == [1, 1]


def test_larger_pictures_and_batches_cost_more(measured):
    for model in measured.models:
        first, second, third = (one.total_flops for one in model.counted)
        assert first == second < third
        assert model.batches[0].peak_bytes < model.batches[1].peak_bytes


def test_routing_is_counted_as_done(measured):
    host, _, routed = measured.models
    assert routed.ratios(host)['flops'] < 1
    for ours, theirs in zip(routed.counted, host.counted, strict=True):
        assert ours.flops['decoder'] < theirs.flops['decoder']
        assert ours.flops['encoder'] == theirs.flops['encoder']


def test_the_result_is_what_its_schema_says_and_can_be_drawn(measured):
    numbers = measured.as_dict()
    jsonschema.validate(json.loads(json.dumps(numbers)), SCHEMA)
    protocol = numbers['protocol']
    assert protocol['hardware'] == 'a machine' and protocol['repeats'] == 3
    assert protocol['pictures'][2] == dict(name='2.png', height=96, width=96)
    figure = draw_efficiency(measured)
    figure.canvas.draw()
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    host = numbers['models'][0]
    assert f' {host["params"] / 1e6:.4g} (1.000)' in texts
    # Stages of a bar end where the whole does, but for the medians' own ways.
    bars = figure.axes[3].patches
    widths = sum(bar.get_width() for bar in bars)
    stages = [sum(m['batches'][0]['stages'].values()) for m in numbers['models']]
    assert widths == pytest.approx(1000 * sum(stages))


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(repeats=1), '--repeats is 1'),
        (dict(batch_sizes=(1, 0)), '--batch-sizes is 0'),
        (dict(num_pictures=0), '--num-pictures is 0'),
    ],
)
def test_bad_options(options, words):
    detectors = dict(host=build_upstream('deformable').eval())
    with pytest.raises(ConfigError, match=words):
        measure_efficiency(detectors, Pictures(), **options)


def test_other_detectors_and_empty_data_sets_are_refused():
    with pytest.raises(ConfigError, match='a Linear, which is no DETR'):
        measure_efficiency(dict(odd=torch.nn.Linear(1, 1)), Pictures())
    with pytest.raises(ConfigError, match='at least one picture'):
        measure_efficiency(dict(host=build_upstream('deformable').eval()), [])


def test_the_command(tmp_path, capsys):
    root = write_dataset(tmp_path / 'data', num_train=0, num_val=2)
    config = tmp_path / 'tiny.py'
    config.write_text(CONFIG.format(classes=CLASSES, root=str(root)))
    out = tmp_path / 'new' / 'cost.json'
    options = ['--also', 'again', config, 'none', '--repeats', '2', '--out', out]
    run_tool('analysis/efficiency', config, 'none', *options)
    result = json.loads(out.read_text())
    assert [model['name'] for model in result['numbers']['models']] == ['tiny', 'again']
    ratios = result['numbers']['models'][1]['ratios']
    assert ratios['flops'] == ratios['params'] == 1
    assert np.isfinite(ratios['batches'][0]['seconds']['median'])
    assert out.with_suffix('.png').stat().st_size > 10_000
    assert 'GFLOPs' in capsys.readouterr().out
