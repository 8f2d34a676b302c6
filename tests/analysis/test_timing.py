"""Time by stage with a clock of our own, percentiles and memory by hand."""

from itertools import count

import pytest
import torch

from mmdet_qrpaq.analysis.cost.model_cost import BatchCost
from mmdet_qrpaq.analysis.cost.timing import (
    REST,
    STAGES,
    Seam,
    StageClock,
    interleave,
    peak_memory,
    prediction_seams,
    summary,
    training_seams,
)
from tiny_hosts import build_host, build_upstream, make_batch


class Kitchen:
    """Takes time as told: each method advances the clock by so many seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def spend(self, seconds: float) -> None:
        self.now += seconds

    def cook(self) -> None:
        self.spend(2)
        self.chop()
        self.spend(3)

    def chop(self) -> None:
        self.spend(10)

    def dinner(self) -> None:
        self.spend(0.5)
        self.cook()
        self.chop()
        self.spend(0.25)


def test_time_belongs_to_the_innermost_stage():
    kitchen = Kitchen()
    clock = StageClock('cpu')
    clock.mark = lambda: kitchen.now
    seams = [Seam(kitchen, 'cook', 'stove'), Seam(kitchen, 'chop', 'board')]
    with clock.watch(seams):
        assert clock.time(kitchen.dinner) == {REST: 0.75, 'stove': 5, 'board': 20}
        # Nothing is carried over.
        assert clock.time(kitchen.chop) == {REST: 0, 'board': 10}
    assert not set(vars(kitchen)) - {'now'}
    assert clock.time(kitchen.dinner) == {REST: 25.75}


def test_a_stage_that_fails_ends():
    kitchen = Kitchen()
    kitchen.burn = lambda: 1 / 0
    clock = StageClock('cpu')
    clock.mark = lambda: kitchen.now
    with (
        pytest.raises(ZeroDivisionError),
        clock.watch([Seam(kitchen, 'burn', 'stove')]),
    ):
        clock.time(kitchen.burn)
    assert clock.time(kitchen.chop) == {REST: 10}


@pytest.mark.parametrize('method', ['none', 'p'])
def test_every_stage_of_a_prediction_is_met_once(host, method):
    detector = build_host(host, method).eval()
    ticks = count()
    # Each mark is one second later, so a stage takes as long as it has marks.
    clock = StageClock('cpu')
    clock.mark = lambda: next(ticks)
    names = dict(vars(detector))
    with torch.no_grad(), clock.watch(prediction_seams(detector)):
        batch = make_batch([0, 0])
        stages = clock.time(lambda: detector.test_step(batch))
    assert vars(detector) == names
    expected = set(STAGES) - {'matching', 'losses', 'backward'}
    if method == 'none':
        expected.remove('patterns')
    assert set(stages) == expected
    assert sum(stages.values()) == next(ticks) - 1


@pytest.mark.parametrize('method', ['none', 'paq', 'qr_exit'])
def test_every_stage_of_a_training_step_is_met(method):
    detector = build_host('dino', method).train()
    batch = make_batch([2, 0])
    ticks = count()
    clock = StageClock('cpu')
    clock.mark = lambda: next(ticks)
    with torch.no_grad(), clock.watch(training_seams(detector)):
        stages = clock.time(lambda: detector.loss(**batch_of(batch)))
    expected = set(STAGES) - {'preprocessing', 'backward'}
    if method != 'paq':
        expected.remove('patterns')
    assert set(stages) == expected
    # A mark a second: the head's forward has one, nothing inside it is watched.
    num_exits = len(getattr(detector, 'routed_layers', []))
    assert stages['head'] == 1 + bool(num_exits)
    # All layers and the encoder at once; one-to-many; all exit heads.
    assert stages['matching'] == 1 + (method == 'paq') + bool(num_exits)


def test_upstreams_head_matches_image_by_image():
    detector = build_upstream('dino').train()
    ticks = count()
    clock = StageClock('cpu')
    clock.mark = lambda: next(ticks)
    with torch.no_grad(), clock.watch(training_seams(detector)):
        stages = clock.time(lambda: detector.loss(**batch_of(make_batch([2, 0]))))
    # Two images: every decoder layer, and the encoder.
    assert stages['matching'] == 2 * (len(detector.decoder.layers) + 1)


def batch_of(batch: dict) -> dict:
    """As `DetectionTransformer.loss` names it."""
    return dict(batch_inputs=batch['inputs'], batch_data_samples=batch['data_samples'])


def test_percentiles_by_hand():
    # 95 % of the way over four gaps is 3.8: between 40 and 100.
    values = [40, 10, 100, 20, 30]
    batch = BatchCost(1, 0, [dict(decoder=value) for value in values]).as_dict()
    assert batch['p50'] == 30
    assert batch['p95'] == pytest.approx(40 + 0.8 * 60)
    assert summary(values) == dict(median=30, quartiles=[20, 40])


def test_every_repetition_has_every_turn_in_changing_orders():
    orders = list(interleave('abc', 20))
    assert all(sorted(order) == ['a', 'b', 'c'] for order in orders)
    assert len({tuple(order) for order in orders}) > 3
    assert orders == list(interleave('abc', 20))


def test_peak_memory_by_hand():
    kilobyte = torch.zeros(256)
    before = torch.zeros(1000)  # not counted

    def run() -> None:
        first = kilobyte.repeat(1000)
        second = first.repeat(2)
        del first
        third = kilobyte.repeat(500)  # 2 + 0.5 MB is less than 1 + 2
        del second, third
        before.add_(1)

    assert peak_memory(run, 'cpu') == pytest.approx(3 * 1024_000, rel=0.01)
