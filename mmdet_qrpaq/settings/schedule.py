"""Whether the schedule of the learning rate is one for a run of this length."""

from mmengine.config import Config

from ..class_name import class_name
from ..finding import Finding, Severity

_WARM_UPS = ('ConstantLR', 'LinearLR')  # what follows them is what ends with the run


def check_schedule(cfg: Config) -> list[Finding]:
    """Tell of drops behind the end of the run, and of schedules that end elsewhere.

    Warm-ups are left alone, and schedules in other units than the run.
    """
    loop = cfg.get('train_cfg') or {}
    by_epoch = loop.get('by_epoch', loop.get('type') == 'EpochBasedTrainLoop')
    setting = 'max_epochs' if by_epoch else 'max_iters'
    length = loop.get(setting)
    schedulers = cfg.get('param_scheduler') or []
    schedulers = [schedulers] if isinstance(schedulers, dict) else schedulers
    found, ends = [], {}
    for place, scheduler in enumerate(schedulers):
        kind = class_name(scheduler['type'])
        other_unit = scheduler.get('by_epoch', True) != by_epoch
        if length is None or other_unit or kind in _WARM_UPS:
            continue
        key = f'param_scheduler.{place}'
        drops = scheduler.get('milestones')
        late = [drop for drop in drops or () if drop >= length]
        if late:
            found.append(
                Finding(
                    Severity.WARNING,
                    'schedule',
                    f'{key}.milestones',
                    f'{late[0]} is not reached in train_cfg.{setting}={length}, so the '
                    'learning rate does not drop there',
                    f'set drops before {length}, or leave it if none is wanted',
                    len(late),
                )
            )
        end = scheduler.get('end', length)
        ends[key] = min(end, length) if drops else end
    if ends and (end := max(ends.values())) != length:
        key = max(ends, key=ends.get)
        found.append(
            Finding(
                Severity.WARNING,
                'schedule',
                f'{key}.end',
                f'the schedule ends at {end} and the run at '
                f'train_cfg.{setting}={length}',
                f'set both to the same number (--cfg-options {key}.end={length}, and '
                'T_max or milestones with it)',
            )
        )
    return found
