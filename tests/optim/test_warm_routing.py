"""Everyone enters at first; the rule decides by and by."""

from types import SimpleNamespace

import pytest
import torch

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.optim import WarmRoutingHook
from mmdet_qrpaq.routing.policies import Decision, enter_at_least
from tiny_hosts import NUM_QUERIES, build_host


def test_the_share_by_hand():
    hook = WarmRoutingHook(start=0.5, end=0.75)
    hook._at_least = 0.2
    shares = [hook.at_least(done) for done in (0, 0.49, 0.5, 0.625, 0.75, 1)]
    assert shares == pytest.approx([1, 1, 1, 0.6, 0.2, 0.2])


def test_at_least_so_many_enter():
    decision = Decision(
        enter=torch.tensor([[True, False, False, False], [True, True, True, False]]),
        margin=torch.tensor([[1.0, -3.0, -1.0, -2.0], [3.0, 2.0, 1.0, -1.0]]),
        probability=torch.zeros(2, 4),
    )
    assert enter_at_least(decision, 2).enter.tolist() == [
        [True, False, True, False],
        [True, True, True, False],
    ]


def test_a_model_in_training_and_after_it():
    detector = build_host('deformable', 'qr')
    layer = detector.routed_layers[0]
    scores = torch.randn(2, NUM_QUERIES, 2, generator=torch.Generator().manual_seed(0))
    ruled = layer.choose(scores).enter
    runner = SimpleNamespace(model=detector, iter=0, max_iters=10)
    hook = WarmRoutingHook()
    hook.before_train(runner)
    entered = []
    for runner.iter in range(10):
        hook.before_train_iter(runner, 0, None)
        entered.append(float(layer.choose(scores).enter.float().mean()))
    assert entered[:6] == [1.0] * 6 and entered == sorted(entered, reverse=True)
    assert entered[-1] < 1
    hook.after_train(runner)
    assert torch.equal(layer.choose(scores).enter, ruled)


def test_it_is_refused_where_it_cannot_work():
    runner = SimpleNamespace(model=build_host('deformable'), iter=0, max_iters=10)
    with pytest.raises(ConfigError, match='does not route|not in the config'):
        WarmRoutingHook().before_train(runner)
    runner.model = torch.nn.Linear(1, 1)  # as a detector of mmdet
    with pytest.raises(ConfigError, match='that routes, and model.type is Linear'):
        WarmRoutingHook().before_train(runner)
    with pytest.raises(ConfigError, match=r'WarmRoutingHook.end is 0.25'):
        WarmRoutingHook(start=0.5, end=0.25)
