"""Routing statistics: against a loop, by hand, in a run's log, and from the tool."""

import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.hooks import LoggerHook
from torch import nn

from mmdet_qrpaq.analysis.command_line import main
from mmdet_qrpaq.analysis.listening import listening
from mmdet_qrpaq.analysis.routing import decisions as query_routing
from mmdet_qrpaq.analysis.routing.decisions import (
    RoutingStatistics,
    describe_layer,
    describe_layers,
    draw_layers,
    warn_of_collapse,
)
from mmdet_qrpaq.analysis.routing.objects import tables
from mmdet_qrpaq.analysis.routing.routing_hook import QueryRoutingHook
from mmdet_qrpaq.analysis.routing.section import ROUTING
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.records.tables import print_table
from mmdet_qrpaq.routing import EEQRDecoderLayer
from mmdet_qrpaq.runtime.checkpoints import read_checkpoint
from tiny_runs import CLASSES, CONFIG, run_tool, save_untrained, write_dataset

NUM_QUERIES = 20  # of the tiny config
SITES = ('layer', 'self_attn')
ROUTED = """\
_base_ = [{base!r}]
model = dict(
    type='QRPaQDINO',
    query_routing=dict(
        schedule=('layer', 'self_attn'),
        gradient='exit_head',
        policy=dict(type='StandardizedPolicy', threshold=-0.5)))
default_hooks = dict(checkpoint=dict(save_best=None))
custom_hooks = [dict(type='EMAHook', momentum=0.01), dict(type='QueryRoutingHook')]
randomness = dict(seed=0)
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
"""


class FakeLayer(nn.Module):
    """Decides what the test wants, and hands its trace over as a real layer does."""

    def __init__(self, site: str, num_queries: int) -> None:
        super().__init__()
        self.site = site
        self.settings = SimpleNamespace(num_queries=num_queries)
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, enter: torch.Tensor) -> torch.Tensor:
        self.trace = SimpleNamespace(enter=enter)
        return enter


def observe(decisions: list[list[torch.Tensor]], sites=SITES) -> RoutingStatistics:
    """`decisions[batch][layer]` is (bs, nq) bool."""
    layers = [FakeLayer(site, decisions[0][0].shape[1]) for site in sites]
    detector = nn.Module()
    detector.routed_layers = layers
    statistics = RoutingStatistics(detector)
    with listening(detector) as heard:
        for batch in decisions:
            for layer, enter in zip(layers, batch, strict=True):
                layer(enter)
                layer.trace = None
            statistics.add(heard.entered)
    layers[0](torch.ones_like(decisions[0][0]))  # not heard any more
    assert heard.entered == decisions[-1]
    return statistics


def count(decisions, sites=SITES) -> list[dict]:
    return observe(decisions, sites).numbers()['layers']


def test_statistics_equal_a_loop():
    rng = np.random.default_rng(0)
    num_queries, sizes = 7, (3, 1, 4)
    chance = rng.random((2, num_queries))
    decisions = [[rng.random((n, num_queries)) < p for p in chance] for n in sizes]
    counted = count([[torch.tensor(e) for e in b] for b in decisions])
    for i, layer in enumerate(counted):
        rows = [row for batch in decisions for row in batch[i]]
        numbers = [int(row.sum()) for row in rows]
        assert sum(layer['histogram']) == 8
        assert layer['histogram'] == [numbers.count(k) for k in range(num_queries + 1)]
        assert layer['entries'] == [
            sum(int(row[q]) for row in rows) for q in range(num_queries)
        ]
        assert layer['entered'] == pytest.approx(np.mean(numbers))
        assert layer['entered_std'] == pytest.approx(np.std(numbers))
        assert layer['share'] == pytest.approx(np.mean(rows))
        assert layer['query_spread'] == pytest.approx(np.std(np.mean(rows, 0)))
        pairs = [np.mean(a != b) for a in rows for b in rows]
        assert layer['differing'] == pytest.approx(np.mean(pairs))


def test_processes_are_summed_and_own_counts_kept(monkeypatch):
    """Of three queries, two enter here and, in another process, the first."""
    mine = observe([[torch.tensor([[True, True, False]])]], ['layer'])
    theirs = observe([[torch.tensor([[True, False, False]])]], ['layer'])
    monkeypatch.setattr(query_routing, 'all_reduce', lambda c: c.add_(theirs._counts))
    for _ in range(2):
        (layer,) = mine.numbers(reduce=True)['layers']
        assert layer['histogram'] == [0, 1, 1, 0]
        assert layer['entries'] == [2, 1, 0]
    assert mine.numbers()['layers'][0]['entries'] == [1, 1, 0]
    mine.reset()
    assert not mine._counts.any()


@pytest.mark.parametrize(
    ('entering', 'collapsed', 'verb'),
    [(99, True, 'enter'), (98, False, ''), (2, False, ''), (1, True, 'bypass it')],
)
def test_collapse_by_hand(entering, collapsed, verb):
    """Ten images of ten queries: 100 decisions."""
    enter = torch.zeros(100, dtype=torch.bool)
    enter[:entering] = True
    (layer,) = count([[enter.view(10, 10)]], sites=['self_attn'])
    assert layer['collapsed'] is collapsed
    if collapsed:
        start = "Query routing has collapsed in decoder layer 0 at 'self_attn': 99.0 % "
        sentence = warn_of_collapse(layer)
        assert sentence.startswith(f'{start}of the queries {verb} (')


def test_the_same_queries_in_every_image_differ_in_none():
    """Half of the decisions enter, none depends on the image."""
    enter = torch.tensor([True, True, False, False]).expand(6, 4)
    (layer,) = count([[enter]], sites=['layer'])
    assert (layer['share'], layer['differing'], layer['query_spread']) == (0.5, 0, 0.5)
    assert not layer['collapsed']


def test_a_sites_row_is_the_mean_of_its_layers():
    """Two layers that always answer, each the other way, differ in no decision."""
    yes, no = torch.ones(3, 4, dtype=torch.bool), torch.zeros(3, 4, dtype=torch.bool)
    counted = count([[yes, no, yes]], sites=['layer', 'self_attn', 'self_attn'])
    means = describe_layers(counted)['sites']
    assert list(means) == ['layer', 'self_attn']
    assert means['self_attn']['entered'] == 2
    assert means['self_attn']['differing'] == 0


def test_drawn_bars_hold_every_image():
    histogram = np.zeros(301, int)
    histogram[[0, 4, 5, 299, 300]] = [1, 2, 3, 1, 1]
    layer = describe_layer(2, 'cross_attn', histogram, np.full(300, 5))
    # 301 numbers of entering queries in bars of six: every image is in one of them.
    heights, edges, _ = (
        draw_layers(describe_layers([layer])).axes[0].patches[0].get_data()
    )
    assert heights.sum() == pytest.approx(100)
    assert heights[0] == pytest.approx(100 * 6 / 8)
    assert edges[0] == -0.5 and edges[-1] >= 300.5


@pytest.mark.parametrize('interval', [0, -1, 2.5, True, 'often'])
def test_bad_intervals(interval):
    with pytest.raises(ConfigError, match=r'QueryRoutingHook\.interval is'):
        QueryRoutingHook(interval)


def test_hook_takes_the_loggers_interval():
    hook, model = QueryRoutingHook(), nn.Module()
    model.routed_layers = [object()]
    hook.before_run(SimpleNamespace(model=model, hooks=[LoggerHook(interval=7)]))
    assert hook.interval == 7


def test_a_validation_is_counted_apart_and_nothing_listens_after_a_training():
    """Training: 3 of 4 enter, twice; validation between: 1."""
    model, layer = nn.Module(), FakeLayer('layer', 4)
    model.routed_layers = [layer]
    runner, hook = mock.MagicMock(model=model, iter=1), QueryRoutingHook(interval=2)
    few, many = (
        torch.tensor([[True] + [False] * 3]),
        torch.tensor([[True] * 3 + [False]]),
    )
    hook.before_train(runner)
    layer(many)
    hook.after_train_iter(runner, 0)
    hook.before_val_epoch(runner)
    layer(few)
    hook.after_val_iter(runner, 0)
    hook.after_val_epoch(runner)
    layer(many)
    hook.after_train_iter(runner, 1)
    logged = [call.args for call in runner.message_hub.update_scalar.call_args_list]
    assert [row for row in logged if row[0].endswith('layer')] == [
        ('val/routing/d0.layer', 1.0),
        ('train/routing/d0.layer', 3.0),
    ]
    assert len(layer._forward_hooks) == 1
    hook.after_train(runner)
    assert not layer._forward_hooks


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('routing')
    write_dataset(root / 'data')
    base = root / 'base.py'
    base.write_text(CONFIG.format(classes=CLASSES, root=str(root / 'data')))
    (root / 'routed.py').write_text(ROUTED.format(base=str(base)))
    return root


@pytest.fixture(scope='module')
def trained(folder: Path) -> tuple[Path, dict]:
    """A run of two epochs, and what its layers decided: [training][site] -> rows."""
    decided = {True: defaultdict(list), False: defaultdict(list)}
    decide = EEQRDecoderLayer.decide

    def record(layer, *arguments):
        scores, decision = decide(layer, *arguments)
        rows = decision.enter.numpy().copy()
        decided[layer.training][layer.site].append(rows)
        return scores, decision

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EEQRDecoderLayer, 'decide', record)
        run_tool('train', folder / 'routed.py', '--work-dir', folder / 'run')
    return folder / 'run', decided


def test_a_runs_log_says_what_its_layers_decided(trained):
    work_dir, decided = trained
    log = next(work_dir.glob('*/vis_data/2*.json'))
    records = [json.loads(line) for line in log.read_text().splitlines()]
    training = [record for record in records if 'loss' in record]
    validation = [record for record in records if 'coco/bbox_mAP' in record]
    assert (len(training), len(validation)) == (4, 2)
    for i, site in enumerate(SITES):
        key = f'routing/d{i}.{site}'
        for record, rows in zip(training, decided[True][site], strict=True):
            assert record[key] == pytest.approx(rows.sum(1).mean())
        batches = decided[False][site]  # three images, one at a time, twice
        assert len(batches) == 6
        for record, rows in zip(validation, (batches[:3], batches[3:]), strict=True):
            rows = np.concatenate(rows)
            assert record[key] == pytest.approx(rows.sum(1).mean())
            assert record[f'{key}_std'] == pytest.approx(rows.sum(1).std())
            p = rows.mean(0)
            assert record[f'{key}_differ'] == pytest.approx((2 * p * (1 - p)).mean())
    assert not [key for record in records for key in record if 'routing/loss' in key]
    figures = work_dir.glob('*/vis_data/vis_image/query_routing_val_*.png')
    assert sorted(path.stem[-1] for path in figures) == ['2', '4']  # iterations
    text = next(work_dir.glob('*/*.log')).read_text()
    assert 'has collapsed' not in text
    assert text.count('routing/d0.layer: ') == 6


def test_a_collapsed_site_is_told_in_the_log(trained, folder):
    """A router that knows nothing scores all queries alike, and all of them enter."""
    checkpoint = read_checkpoint(str(trained[0] / 'epoch_2.pth'))
    for key, value in checkpoint['state_dict'].items():
        if '.layers.1.router.' in key:
            value.zero_()
    path = folder / 'ignorant.pth'
    torch.save(checkpoint, path)
    run_tool('test', folder / 'routed.py', path, '--work-dir', folder / 'test')
    text = next((folder / 'test').glob('*/*.log')).read_text()
    assert "collapsed in decoder layer 1 at 'self_attn': 100.0 % of" in text
    assert 'collapsed in decoder layer 0' not in text
    metrics = json.loads(next((folder / 'test').glob('2*/2*.json')).read_text())
    assert metrics['routing/d1.self_attn'] == NUM_QUERIES


def test_tool_tells_what_the_last_validation_saw(trained, folder, capsys):
    """The tool's counts are those of the second validation: EMA's weights are saved."""
    work_dir, decided = trained
    out = folder / 'report' / 'routing.json'
    config, checkpoint = str(folder / 'routed.py'), str(work_dir / 'epoch_2.pth')
    main(ROUTING, 'x', [config, checkpoint, '--out', str(out)])
    result = json.loads(out.read_text())
    content = result['numbers']
    assert [m['checkpoint'] for m in result['origin']['models']] == [checkpoint]
    assert (content['num_images'], content['num_queries']) == (3, NUM_QUERIES)
    printed = capsys.readouterr().out
    for row, site in zip(content['layers'], SITES, strict=True):
        rows = np.concatenate(decided[False][site][3:])
        assert row['entries'] == rows.sum(0).tolist()
        assert f'{row["entered"]:.1f}' in printed
    for table in tables(content):
        print_table(table)
    assert capsys.readouterr().out in printed
    objects = content['objects']
    assert [row['queries'] for row in objects['sizes']] == [6, 0, 0]
    assert [row['queries'] for row in objects['classes']] == [3, 3]
    assert objects['background']['queries'] == 3 * NUM_QUERIES - 6
    entered = [
        sum(row['queries'] * row['entered'][i] for row in rows)
        for i in range(2)
        for rows in [[*objects['classes'], objects['background']]]
    ]
    assert entered == pytest.approx([sum(row['entries']) for row in content['layers']])
    assert out.with_suffix('.png').stat().st_size > 10_000

    # At least a fifth of any numbers lies above their mean - 0.5 deviations (Cantelli).
    options = ['--cfg-options', 'model.query_routing.capacity=0.2']
    main(ROUTING, 'x', [config, checkpoint, '--out', str(out), *options])
    content = json.loads(out.read_text())['numbers']
    assert all(row['histogram'][4] == 3 for row in content['layers'])


def test_models_without_routing(folder, tmp_path):
    base = folder / 'base.py'
    config = tmp_path / 'hooked.py'
    config.write_text(
        f"_base_ = [{str(base)!r}]\ncustom_hooks = [dict(type='QueryRoutingHook')]\n"
    )
    with pytest.raises(ConfigError, match='remove the hook or set'):
        run_tool('train', config, '--work-dir', tmp_path / 'run')
    checkpoint = tmp_path / 'base.pth'
    save_untrained(base, checkpoint)
    with pytest.raises(ConfigError, match='no query routing to count'):
        main(ROUTING, 'x', [str(base), str(checkpoint)])


def test_a_collapsed_layer_is_warned_of_below_the_table():
    yes = torch.ones(3, 4, dtype=torch.bool)
    some = torch.tensor([True, False, True, False]).expand(3, 4)
    layers = count([[yes, some]])
    row = dict(name='background', queries=12, entered=[1, 0.5], mean=0.75)
    objects = dict(sizes=[], classes=[], background=row)
    decisions, by_object = tables(dict(describe_layers(layers), objects=objects))
    assert decisions.rows == [
        ['d0.layer', 'layer', '4.0', '0.0', '100.0', '0.0', 'yes'],
        ['d1.self_attn', 'self_attn', '2.0', '0.0', '50.0', '0.0', 'no'],
        ['mean', 'layer', '4.0', '0.0', '100.0', '0.0', ''],
        ['mean', 'self_attn', '2.0', '0.0', '50.0', '0.0', ''],
    ]
    _, warning = decisions.notes
    assert warning == f'warning: {warn_of_collapse(layers[0])}'
    assert by_object.rows == [['background', '12', '100.0', '50.0', '75.0']]
