"""The table and the curves of a sweep, against numbers worked out by hand."""

from pathlib import Path

import pytest

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.sweeps.record import read_digest, read_records
from mmdet_qrpaq.sweeps.summary import describe_budget, draw_curves
from mmdet_qrpaq.sweeps.table import comparison, mean_and_spread


def record(variant: str, seed: int, ap: float, **more) -> dict:
    settings = dict(variant=variant, seed=seed, epochs=2)
    measured = dict(AP=ap, AP50=2 * ap, AP75=None, routing={}, **more)
    return dict(settings=settings, measured=measured)


def cells(table: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.split('|')[1:-1]]
        for line in table.splitlines()
        if not line.startswith('|--')
    ]


@pytest.mark.parametrize(
    ('values', 'text'),
    [
        ([0.30, 0.34, 0.32], '0.320 ± 0.020'),
        ([0.32, 0.36], '0.340 ± 0.028'),  # sqrt(2) * 0.02
        ([0.5], '0.500 ± -'),
    ],
)
def test_mean_and_sample_deviation(values: list, text: str) -> None:
    assert mean_and_spread(values) == text


@pytest.mark.parametrize(
    ('differences', 'interval'),
    [
        # Student's t for 95 %: 12.706 at one degree of freedom, 4.303 at two. Half an
        # interval is t times the deviation over the root of the number.
        ([0.02, 0.04], (0.03 - 12.706 * 0.01, 0.03 + 12.706 * 0.01)),
        ([0.1, 0.2, 0.3], (0.2 - 4.3027 * 0.1 / 3**0.5, 0.2 + 4.3027 * 0.1 / 3**0.5)),
        ([0.1, 0.1, 0.1, 0.1], (0.1, 0.1)),
    ],
)
def test_interval_of_the_mean_difference(differences: list, interval: tuple) -> None:
    host = {seed: record('host', seed, 0.3) for seed in range(len(differences))}
    ours = {n: record('ours', n, 0.3 + more) for n, more in enumerate(differences)}
    row = cells(comparison(dict(host=host, ours=ours)))[2]
    low, high = interval
    assert row[4].endswith(f' [{low:+.3f}, {high:+.3f}]')


@pytest.mark.parametrize('content', ['{"settings": ', '[]', '{"settings": 3}', '{}'])
def test_a_damaged_record_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / 'a_seed0.json'
    path.write_text(content)
    for read in (read_digest, lambda path: read_records([path])):
        with pytest.raises(ConfigError, match='a_seed0.json is no record of a run'):
            read(path)


def test_the_table_by_hand() -> None:
    routing = {
        'routing/d0.layer': 12.0,
        'routing/d0.layer_std': 1.5,
        'routing/d0.layer_differ': 0.25,
        'routing/d1.self_attn': 30.0,
    }
    host = {seed: record('host', seed, ap) for seed, ap in enumerate((0.3, 0.34, 0.32))}
    ours = {0: record('ours', 0, 0.32), 2: record('ours', 2, 0.36)}
    for run in ours.values():
        run['measured'].update(routing=routing, gini=0.5, num_queries=60)
        run['measured']['peak_memory_mb'] = dict(resident=2048, cuda=512)
    paper = {'AP, paper': {'host': '50.3'}}
    runs, variants = dict(host=host, ours=ours), ['host', 'ours', 'other']
    table = comparison(runs, variants, more=paper)
    head, *rows = cells(table)
    # AP75 and the time of a step are in no record, and are left out.
    assert head == [
        '',
        'seeds',
        'AP',
        'AP50',
        'AP minus host, same seed [95 %]',
        'Gini of query use',
        'peak memory, GB',
        'share entering, F / SA / CA',
        'its spread over images',
        'decisions that differ',
        'AP, paper',
    ]
    nothing = ['-', '-', '-', *['- / - / -'] * 3]
    assert rows[0] == [
        'host',
        '0, 1, 2',
        '0.320 ± 0.020',
        '0.640 ± 0.040',
        *nothing,
        '50.3',
    ]
    # Differences of seeds 0 and 2: 0.02 and 0.04.
    assert rows[1] == [
        'ours',
        '0, 2',
        '0.340 ± 0.028',
        '0.680 ± 0.057',
        '+0.030 ± 0.014 [-0.097, +0.157]',
        '0.50 ± 0.00',
        '0.5 ± 0.0',
        '0.20 / 0.50 / -',
        '0.03 / - / -',
        '0.25 / - / -',
        '-',
    ]
    assert rows[2] == ['other', 'not run', *['-'] * 9]

    head, _, row, _ = cells(comparison(runs, variants, brief=True))
    assert head[1:3] == ['seeds', 'AP'] and head[-1] == 'Gini of query use'
    assert row[-2:] == ['+0.030 ± 0.014 [-0.097, +0.157]', '0.50 ± 0.00']


def test_what_duplicates_hide_is_compared_too() -> None:
    host = {seed: record('host', seed, 0.3, AP_with_nms=0.5) for seed in (0, 1)}
    ours = {seed: record('ours', seed, 0.2, AP_with_nms=0.6) for seed in (0, 1)}
    head, _, row = cells(comparison(dict(host=host, ours=ours)))
    place = head.index('the same with NMS')
    assert row[place] == '+0.100 ± 0.000 [+0.100, +0.100]'
    assert row[place - 1] == '-0.100 ± 0.000 [-0.100, -0.100]'


def test_one_common_seed_has_a_difference_but_no_interval() -> None:
    host = {0: record('host', 0, 0.3), 1: record('host', 1, 0.4)}
    ours = {1: record('ours', 1, 0.3), 2: record('ours', 2, 0.9)}
    rows = cells(comparison(dict(host=host, ours=ours)))
    assert rows[2][4] == '-0.100 ± -'


def test_a_budget_is_told_by_variant_where_it_differs() -> None:
    budget = dict(data=dict(folder='d'), iterations=4, batch_size=2, image_size=64)
    results = {
        name: {0: dict(settings=dict(budget, **other)), 1: dict(settings=budget)}
        for name, other in (('host', {}), ('PaQ', {}))
    }
    same = 'd, 4 iterations of 2 images of 64 pixels (longest side)'
    assert describe_budget(results) == same
    results['PaQ'][0]['settings']['batch_size'] = 8
    other = same.replace('of 2', 'of 8')
    assert describe_budget(results) == f'host, PaQ: {same}; PaQ: {other}'


def test_curves_are_the_mean_of_what_was_recorded() -> None:
    """How mean and range are drawn is tested with `training_curves`."""
    loss = [[10, 4.0], [20, 2.0]]
    host = {
        0: record('host', 0, 0.3, AP_curve=[[1, 0.1], [2, 0.3]], loss_curve=loss),
        1: record('host', 1, 0.5, AP_curve=[[1, 0.3], [2, 0.5]], loss_curve=loss),
    }
    figure = draw_curves(dict(host=host), ['host', 'not run'], 'what')
    loss_axes, ap_axes = figure.axes
    assert list(loss_axes.lines[0].get_ydata()) == [4.0, 2.0]
    (line,) = ap_axes.lines
    assert list(line.get_xdata()) == [1, 2]
    assert list(line.get_ydata()) == pytest.approx([0.2, 0.4])
    assert ap_axes.get_xlabel() == 'epoch'
    assert figure.get_suptitle() == 'what'
    (text,) = figure.legends[0].get_texts()
    assert text.get_text() == 'host (2 runs)'
