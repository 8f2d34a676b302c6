"""How a checkpoint's entries are compared with a model's."""

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.runtime.fit import (
    compare,
    require_averaging,
    require_common_weights,
    require_finite,
    require_same_model,
    require_training_state,
)


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def test_differences_by_hand() -> None:
    stored = model().state_dict()
    del stored['0.bias'], stored['1.num_batches_tracked']
    stored['0.weight'] = torch.zeros(3, 5)
    stored['2.weight'] = torch.zeros(1)
    fit = compare(model(), dict(state_dict=stored))
    # weight, bias; weight, bias, running_mean, running_var
    assert (fit.total, fit.loaded) == (6, 4)
    assert fit.missing == ['0.bias']
    assert fit.reshaped == ['0.weight: (3, 5) instead of (3, 2)']
    assert fit.unexpected == ['2.weight']
    with pytest.raises(ConfigError, match=r'1 of 6 parameters missing \(first 0\.bias'):
        require_same_model(model(), dict(state_dict=stored), 'a.pth', 'b.py')


@pytest.mark.parametrize(
    ('stored', 'here', 'made'),
    [
        (2, 4, "OpenMMLab's mmdet (or OneDL's before 3.4.6)"),
        (4, 2, "OneDL's mmdet (3.4.6 or newer)"),
        (3, 4, None),
        (4, 4, None),
    ],
)
def test_a_checkpoint_of_the_other_line_is_told(stored, here, made) -> None:
    def dino(inputs: int) -> nn.Module:
        head = nn.Module()
        head.layers = nn.ModuleList([nn.Linear(inputs * 8, 8)])
        decoder = nn.ModuleDict(dict(ref_point_head=head))
        return nn.ModuleDict(dict(decoder=decoder))

    fit = compare(dino(here), dino(stored).state_dict())
    assert len(fit.reshaped) == (stored != here)
    assert ('another number of features' in str(fit)) == bool(made)
    assert f'made with {made}' in str(fit) or not made
    if made:
        with pytest.raises(ConfigError, match=r'ref_point_head.*was made with'):
            require_same_model(dino(here), dino(stored).state_dict(), 'a.pth', 'b.py')


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('bare', [True, False])
def test_same_model_passes(prefix: str, bare: bool) -> None:
    stored = {prefix + key: value for key, value in model().state_dict().items()}
    checkpoint = stored if bare else dict(state_dict=stored)
    require_same_model(model(), checkpoint, 'a.pth', 'b.py')


@pytest.mark.parametrize(('kept', 'accepted'), [(2, False), (3, True), (6, True)])
def test_fine_tuning_needs_half(kept: int, accepted: bool) -> None:
    entries = list(model().state_dict().items())[:kept]
    if accepted:
        fit = require_common_weights(model(), dict(entries), 'a.pth', 'b.py')
        assert fit.loaded == kept
    else:
        with pytest.raises(ConfigError, match='only 2 of 6'):
            require_common_weights(model(), dict(entries), 'a.pth', 'b.py')


def test_resume_needs_the_training_state() -> None:
    with pytest.raises(ConfigError, match=r'holds no message_hub; .*load_from=a\.pth'):
        require_training_state(dict(optimizer={}, meta={}), 'a.pth')


def test_an_average_goes_on_as_the_same() -> None:
    def averaging(kind: str) -> Config:
        return Config(dict(custom_hooks=[dict(type='EMAHook', ema_type=kind)]))

    swa, ema = averaging('StochasticWeightAverage'), averaging('ExpMomentumEMA')
    checkpoint = dict(ema_state_dict={}, meta=dict(cfg=swa.pretty_text))
    require_averaging(checkpoint, swa, 'a.pth')
    require_averaging(dict(ema_state_dict={}), ema, 'a.pth')  # it does not say
    require_averaging(dict(meta=dict(cfg=swa.pretty_text)), ema, 'a.pth')
    said = 'averaged by StochasticWeightAverage, .* averages by ExpMomentumEMA; '
    with pytest.raises(ConfigError, match=said):
        require_averaging(checkpoint, ema, 'a.pth')
    with pytest.raises(ConfigError, match='cannot be resumed without an average'):
        require_averaging(checkpoint, Config(), 'a.pth')


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_diverged_weights_are_told(value: float) -> None:
    spoilt = model()
    require_finite(spoilt, 'a.pth')
    spoilt[1].running_mean[1] = value
    with pytest.raises(ConfigError, match=r'a\.pth holds NaN .* 1 .*1\.running_mean'):
        require_finite(spoilt, 'a.pth')
