"""What models cost: ratios by hand, real images, and the command."""

import copy
import json
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import torch

from mmdet_qrpaq.analysis.command_line import main, parse_args
from mmdet_qrpaq.analysis.cost.complexity import Complexity
from mmdet_qrpaq.analysis.cost.efficiency import (
    SCHEMA,
    measure,
    routing_as_on,
    tables,
)
from mmdet_qrpaq.analysis.cost.model_cost import BatchCost, describe, ratios
from mmdet_qrpaq.analysis.cost.section import EFFICIENCY
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.records.provenance import device_name
from mmdet_qrpaq.records.tables import print_table
from tiny_hosts import ForcedPolicy, build_host, build_upstream, make_batch
from tiny_runs import CLASSES, CONFIG, run_script, write_dataset


class Images:
    """As a data set packs them: three images, two of one size."""

    def __init__(self) -> None:
        self.items = [
            make_batch([0], [size]) for size in ((64, 96), (64, 96), (96, 96))
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict:
        sample = self.items[index]['data_samples'][0].clone()
        sample.set_metainfo(dict(img_path=f'folder/{index}.png'))
        image = (self.items[index]['inputs'][0].abs() * 50).byte()
        return dict(inputs=image, data_samples=sample)


def model(name: str, detector: torch.nn.Module) -> SimpleNamespace:
    """As much of a `TrainedModel` as is asked of it."""
    dataloader = SimpleNamespace(dataset=Images())
    return SimpleNamespace(name=name, detector=detector.eval(), dataloader=dataloader)


def cost(params: int, flops: list[int], peak: int, seconds: list[list[float]]):
    counted = [
        Complexity(params=dict(backbone=params), flops=dict(backbone=one, decoder=1))
        for one in flops
    ]
    stages = [dict(backbone=a, decoder=b) for a, b in seconds]
    batch = BatchCost(batch_size=2, peak_bytes=peak, stages=stages)
    return describe('m', torch.nn.Linear(2, 3), counted, [batch])


def test_ratios_by_hand():
    host = cost(100, [999, 1999], 50, [[1, 1], [2, 2], [1, 3]])
    ours = cost(110, [1499, 1499], 100, [[2, 1], [1, 1], [2, 4]])
    # Seconds 2, 4, 4 and 3, 2, 6, pair by pair: 1.5, 0.5, 1.5.
    assert ratios(ours, host) == dict(
        params=1.1,
        flops=1.0,
        batches=[dict(peak_bytes=2.0, seconds=dict(median=1.5, quartiles=[1.0, 1.5]))],
    )
    numbers = [host, ours]
    assert host['weight_bytes'] == 4 * (2 * 3 + 3)
    assert numbers[0]['flops'] == dict(mean=1500, std=500)
    assert numbers[1]['flops'] == dict(mean=1500, std=0)
    assert numbers[0]['flops_by_stage']['decoder'] == dict(mean=1, std=0)
    batch = numbers[1]['batches'][0]
    assert batch['stages'] == dict(backbone=2, decoder=1)
    assert (batch['p50'], batch['seconds']) == (3, [3, 2, 6])
    assert batch['p95'] == pytest.approx(3 + 0.9 * 3)
    nothing = ratios(host, cost(100, [999], 0, [[1, 1]] * 3))
    assert nothing['batches'][0]['peak_bytes'] is None


@pytest.fixture(scope='module')
def measured() -> tuple:
    """Two equal upstream models and a routed one that skips half of its work."""
    routed = build_host('deformable', 'qr')
    routed.change_routing(policy=ForcedPolicy(0.5, 0.5))
    models = [
        model('host', build_upstream('deformable')),
        model('same', build_upstream('deformable')),
        model('routed', routed),
    ]
    return measure(models, num_images=8, batch_sizes=(1, 2), repeats=3)


def test_equal_models_cost_the_same(measured):
    host, same, _ = measured[0]['models']
    assert host['flops_by_picture'] == same['flops_by_picture']
    assert host['flops_by_stage'] == same['flops_by_stage']
    ratios = same['ratios']
    assert ratios['flops'] == ratios['params'] == 1
    assert [batch['peak_bytes'] for batch in ratios['batches']] == [1, 1]


def test_larger_images_and_batches_cost_more(measured):
    for cost in measured[0]['models']:
        first, second, third = cost['flops_by_picture']
        assert first == second < third
        assert cost['batches'][0]['peak_bytes'] < cost['batches'][1]['peak_bytes']


def test_routing_is_counted_as_done(measured):
    host, _, routed = measured[0]['models']
    assert routed['ratios']['flops'] < 1
    for ours, theirs in zip(
        routed['flops_by_picture'], host['flops_by_picture'], strict=True
    ):
        assert ours < theirs
    ours, theirs = routed['flops_by_stage'], host['flops_by_stage']
    assert ours['decoder']['mean'] < theirs['decoder']['mean']
    assert ours['encoder'] == theirs['encoder']


def test_the_result_is_what_its_schema_says_and_is_drawn(measured):
    numbers, figure = measured
    jsonschema.validate(json.loads(json.dumps(numbers)), SCHEMA)
    protocol = numbers['protocol']
    assert protocol['hardware'] == device_name(protocol['device'])
    assert protocol['repeats'] == 3
    assert protocol['pictures'][2] == dict(name='2.png', height=96, width=96)
    figure.canvas.draw()
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    host = numbers['models'][0]
    assert f' {host["params"] / 1e6:.4g} (1.000)' in texts
    # Stages of a bar end where the whole does, but for the medians' own ways.
    bars = figure.axes[3].patches
    widths = sum(bar.get_width() for bar in bars)
    stages = [sum(m['batches'][0]['stages'].values()) for m in numbers['models']]
    assert widths == pytest.approx(1000 * sum(stages))


def test_a_row_has_all_that_a_model_and_a_batch_size_cost(measured):
    numbers = copy.deepcopy(measured[0])
    (table,) = tables(numbers)
    assert [row[0] for row in table.rows] == ['host'] * 2 + ['same'] * 2 + [
        'routed'
    ] * 2
    same = numbers['models'][1]
    assert table.rows[3][1] == f'{same["params"] / 1e6:.2f} (1.000)'
    assert table.rows[3][3] == '2'
    memory = same['batches'][1]['peak_bytes'] / 1e6
    assert table.rows[3][4] == f'{memory:.1f} (1.000)'
    # Where the first model needs none, there is no ratio.
    same['ratios']['batches'][1]['peak_bytes'] = None
    assert tables(numbers)[0].rows[3][4] == f'{memory:.1f}'


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--repeats', '1'], '--repeats: must be a whole number from 2, got 1'),
        (['--batch-sizes', '1', '0'], '--batch-sizes: must be a whole number from 1'),
        (['--num-images', '0'], '--num-images: must be a whole number from 1, got 0'),
    ],
)
def test_bad_options(options, words, capsys):
    with pytest.raises(SystemExit) as end:
        parse_args(EFFICIENCY, '', ['c.py', 'none', *options])
    assert end.value.code == 2 and words in capsys.readouterr().err


def test_a_flag_of_old_still_works_and_is_not_told(capsys):
    words = ['c.py', 'none', '--num-pictures', '3']
    assert parse_args(EFFICIENCY, '', words).num_images == 3
    assert parse_args(EFFICIENCY, '', words[:2]).num_images == 8
    with pytest.raises(SystemExit):
        parse_args(EFFICIENCY, '', ['--help'])
    told = capsys.readouterr().out
    assert '--num-images' in told and 'pictures' not in told


def test_other_detectors_are_refused():
    with pytest.raises(ConfigError, match='a Linear, which is no DETR'):
        measure([model('odd', torch.nn.Linear(1, 1))], 1, [1], 2)


@pytest.fixture
def config(tmp_path):
    root = write_dataset(tmp_path / 'data', num_train=0, num_val=2)
    path = tmp_path / 'tiny.py'
    path.write_text(CONFIG.format(classes=CLASSES, root=str(root)))
    return path


def test_empty_data_sets_are_refused(config, tmp_path):
    annotations = tmp_path / 'data' / 'val.json'
    content = json.loads(annotations.read_text())
    annotations.write_text(json.dumps(dict(content, images=[], annotations=[])))
    with pytest.raises(ConfigError, match='no images'):
        main(EFFICIENCY, '', [str(config), 'none'])


def test_the_command(config, tmp_path, capsys):
    out = tmp_path / 'new' / 'cost.json'
    options = ['--also', 'again', config, 'none', '--repeats', '2', '--out', out]
    run_script('analysis/efficiency', config, 'none', *options)
    told = capsys.readouterr().out
    result = json.loads(out.read_text())
    assert [model['name'] for model in result['numbers']['models']] == ['tiny', 'again']
    assert result['origin']['options'] == dict(num_images=8, batch_sizes=[1], repeats=2)
    ratios = result['numbers']['models'][1]['ratios']
    assert ratios['flops'] == ratios['params'] == 1
    assert np.isfinite(ratios['batches'][0]['seconds']['median'])
    assert out.with_suffix('.png').stat().st_size > 10_000
    for table in tables(result['numbers']):
        print_table(table)
    printed = capsys.readouterr().out
    assert 'GFLOPs' in printed and printed in told


@pytest.mark.parametrize('device, executor', [('cuda', 'dense'), ('cpu', 'gather')])
def test_flops_are_those_of_what_the_device_runs(device, executor):
    detector = build_host('dino', 'qr')
    with routing_as_on(torch.device(device), detector):
        assert detector.routed_layers[0].settings.executor == executor
    assert detector.routed_layers[0].settings.executor == 'auto'
    with routing_as_on(torch.device(device), build_upstream('dino')):
        pass  # it routes nothing
