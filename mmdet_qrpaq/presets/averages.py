"""Averages of weights along a training, which are what is validated and saved."""

from mmengine.config import Config

from ..errors import ConfigError
from ..settings.decision import Decision
from .lists import put_hook


def ema(cfg: Config, momentum: float) -> list[Decision]:
    """Keep an exponential moving average of the weights, RTMDet's.

    Validation measures the average, and `state_dict` of every checkpoint is it, the
    best one's too; the raw weights are in `ema_state_dict`. A resumed run goes on with
    both. mmengine's `EMAHook` with mmdet's `ExpMomentumEMA`: beside `momentum` a share
    of exp(-iteration / 2000) counts, 0.37 after 2,000 iterations, 0.007 after 10,000
    (the mean of some 150), 0.0002 after 17,000. In the first thousands the average
    follows the raw weights closely.

    Costs: a second copy of the model in memory and in checkpoints, and a pass over the
    weights an iteration.
    Use it: from about 10,000 iterations on, where validations are steadier, and the
    last is as good as any. It does no harm to a shorter run, and little good.

    Args:
        cfg: Changed in place.
        momentum: Least share of the raw weights in an update; 1 / momentum is about
            the number of iterations that are averaged in a long run.
    """
    average = dict(
        type='EMAHook',
        ema_type='ExpMomentumEMA',
        momentum=momentum,
        update_buffers=True,
        priority=49,
    )
    put_hook(cfg, average)
    what = f'moving average of the weights, momentum {momentum:g}'
    return [Decision('custom_hooks', what, 'preset ema')]


def checkpoint_averaging(cfg: Config, share: float) -> list[Decision]:
    """Average the weights of the last part of a training, all with the same weight.

    mmengine's `StochasticWeightAverage`, over every iteration rather than some saved
    checkpoints, so the average is validated, saved and resumed as that of `ema`.
    Until it begins, the raw weights are.

    Costs: as `ema`.
    Use it: with a learning rate that is constant, or high to the end. After a drop the
    last weights differ too little for it to matter.

    Args:
        cfg: Changed in place.
        share: Part of the run that is averaged, its end.

    Raises:
        ConfigError: The length of the run is not known.
    """
    loop = cfg.get('train_cfg') or {}
    length = loop.get('max_epochs') or loop.get('max_iters')
    if not length:
        raise ConfigError(
            'preset checkpoint_averaging averages the end of a run, and train_cfg has '
            'neither max_epochs nor max_iters; set one.'
        )
    unit = 'epoch' if loop.get('max_epochs') else 'iter'
    begin = length - max(1, round(share * length)) + 1
    average = dict(
        type='EMAHook',
        ema_type='StochasticWeightAverage',
        update_buffers=True,
        priority=49,
    )
    # mmengine takes begin_epoch=0 for none, and 1 for the first one.
    put_hook(cfg, {**average, f'begin_{unit}': begin})
    what = f'mean of the weights from {unit} {begin} of {length} on'
    return [Decision('custom_hooks', what, 'preset checkpoint_averaging')]
