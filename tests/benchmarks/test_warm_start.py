"""The tables of trainings from a converted host."""

import pytest

from benchmarks.accuracy import warm_start_table
from benchmarks.accuracy.warm_start import METHODS, TRAINED_ON


def seed(host, paq, warm, cold, longer):
    rows = {name: dict(converted=host) for name in METHODS}
    rows['paq'] |= dict(converted=paq, relative_error=0.5, warm=warm, cold=cold)
    return dict(host=host, host_longer=longer, methods=rows)


@pytest.fixture
def result(monkeypatch):
    hardware = dict(device='a processor', cores=2)
    environment = dict(date='2026-11-28', commit='abc', dirty=False, hardware=hardware)
    found = dict(
        environment=environment | dict(versions=dict(torch='2.13')),
        settings=dict(options=['a=1'], epochs=2),
        measured={
            '0': seed(0.6, 0.5, [0.5, 0.7], [0.1, 0.6], [0.6, 0.7]),
            '1': seed(0.7, 0.7, [0.7, 0.8], [0.3, 0.6], [0.6, 0.7]),
        },
    )
    monkeypatch.setattr(warm_start_table, 'load', lambda name: found)
    monkeypatch.setattr(warm_start_table, 'is_measured', lambda: True)
    return found


def test_tables_by_hand(result):
    lines = warm_start_table.warm_start_tables().splitlines()
    rows = {line.split(' | ')[0].strip('| '): line for line in lines if '|' in line}
    # Differences -0.1 and 0: mean -0.05, deviation 0.0707, t(1) 12.706 * 0.05.
    assert rows['PaQ'].endswith(
        '| 0.650 ± 0.071 | 0.600 ± 0.141 | -0.050 ± 0.071 [-0.685, +0.585] | 0.50 |'
    )
    assert '+0.000 ± 0.000' in rows['QR'] and rows['QR'].endswith('| none |')
    assert rows['PaQ, converted'].endswith('| 0.600 ± 0.141 | 0.750 ± 0.071 |')
    assert '| +0.400 ± 0.000' in rows['PaQ, converted, minus from nothing']
    assert '| +0.050 ± 0.071' in rows['PaQ, converted, minus the host, trained on']
    assert lines[-1].startswith('Seeds 0, 1; mean')


def test_the_figure_begins_where_the_trainings_do(result):
    warm, cold, longer = warm_start_table.draw_warm_start().axes[0].lines
    assert warm.get_ydata() == pytest.approx([0.6, 0.6, 0.75])
    assert list(cold.get_xdata()) == [1, 2]
    assert longer.get_ydata() == pytest.approx([0.65, 0.6, 0.7])


def test_what_is_trained_on_is_a_method():
    assert set(TRAINED_ON) <= set(METHODS) == set(warm_start_table.TITLES)
