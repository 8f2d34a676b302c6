"""The benchmark of deformable attention: what it compares, and when it refuses to."""

import json

import pytest
import torch

from benchmarks.speed import attention, attention_timing
from benchmarks.speed.attention_timing import Case

CASES = [Case('encoder', 64, 1, None), Case('decoder', 96, 2, 5)]


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.part)
def test_inputs_are_what_a_detector_has(case):
    value, sizes, locations, weights = attention_timing.make_inputs(case)
    assert value.shape == (case.batch, sizes.prod(1).sum(), 8, 32)
    assert sizes[0].tolist() == [case.size // 8] * 2
    assert weights.shape == locations.shape[:-1]
    torch.testing.assert_close(weights.sum((-1, -2)), torch.ones(weights.shape[:3]))
    if case.queries is None:  # a pixel each, row by row
        centres = locations.mean((2, 3, 4))[0, : sizes[0].prod()]
        assert centres[:8, 0].diff().mean() > 0.1 > centres[:8, 1].diff().mean().abs()
    assert locations.shape[1] == (case.queries or value.shape[1])


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.part)
def test_every_way_is_timed_against_mmcvs(case):
    seen = []
    measured = attention_timing.measure(case, 2, lambda: seen.append(1))
    json.dumps(measured)
    assert len(seen) == attention_timing.steps(2)
    for mode in ('predict', 'train'):
        assert set(measured[mode]) == set(attention_timing.WAYS)
        assert measured[mode]['grid_sample']['ratio']['median'] == 1
        for way in measured[mode].values():
            assert 0 < way['best_seconds'] <= way['seconds']['quartiles'][0]
    assert all(way['memory_bytes'] > 0 for way in measured['train'].values())


def test_nothing_is_timed_if_results_differ(monkeypatch):
    def other(value, *inputs):
        return attention_timing.deformable_attention(1.01 * value, *inputs)

    monkeypatch.setitem(attention_timing.WAYS, 'embedding_bag', other)
    with pytest.raises(RuntimeError, match='nothing was timed'):
        attention_timing.measure(CASES[0], 2)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--repeats', '1'], 'at least 2'),
        (['--sizes', '0'], 'must be positive'),
        (['--out', 'speed.txt'], 'does not end in .json'),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, message, capsys, monkeypatch):
    monkeypatch.setattr('sys.argv', ['attention.py', *arguments])
    with pytest.raises(SystemExit) as stopped:
        attention.parse()
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
