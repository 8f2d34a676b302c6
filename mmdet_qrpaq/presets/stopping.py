"""Ends a training that no longer gains."""

from mmengine.config import Config

from ..errors import ConfigError
from ..settings.decision import Decision
from ..settings.metrics import evaluators_of, is_coco
from .lists import put_hook

# Of an AP between 0 and 1. mmengine's own 0.1 would stop nearly every training.
LEAST_GAIN = 0.001


def early_stopping(cfg: Config, patience: int) -> list[Decision]:
    """Stop when validations have not gained 0.001 AP for some time.

    The number watched is that of `default_hooks.checkpoint.save_best`, else the first
    AP of `val_evaluator`. The best checkpoint is kept. mmengine's `EarlyStoppingHook`.

    Costs: nothing. A resumed run begins to wait anew.
    Use it: when the length of a run is a guess, as on data of your own. A drop of the
    learning rate that comes after the stop is never made, so give it more patience than
    lies between two drops, or a schedule without drops.

    Args:
        cfg: Changed in place.
        patience: Validations without a gain after which the training ends; they are
            `train_cfg.val_interval` epochs or iterations apart.

    Raises:
        ConfigError: There is no validation, or no number to watch.
    """
    if not cfg.get('val_dataloader') or not cfg.get('val_evaluator'):
        raise ConfigError(
            'preset early_stopping watches validations, and the config has no '
            'val_dataloader and val_evaluator; add them, or leave the preset out.'
        )
    saving = (cfg.get('default_hooks') or {}).get('checkpoint')
    best = (saving or {}).get('save_best')
    best = best[0] if isinstance(best, list | tuple) and best else best
    watched = best if best and best != 'auto' else _main_metric(cfg)
    rule = (saving or {}).get('rule')
    rule = rule[0] if isinstance(rule, list | tuple) and rule else rule
    rule = rule or ('less' if 'loss' in watched.lower() else 'greater')
    if saving is not None and not best:
        saving.update(save_best=watched, rule=rule)
    hook = dict(
        type='EarlyStoppingHook',
        monitor=watched,
        rule=rule,
        min_delta=LEAST_GAIN,
        patience=patience,
    )
    put_hook(cfg, hook)
    many = 's' * (patience > 1)
    what = f'an end after {patience} validation{many} without a gain in {watched}'
    return [Decision('custom_hooks', what, 'preset early_stopping')]


def _main_metric(cfg: Config) -> str:
    """Return the name under which the first COCO metric logs its AP."""
    for metric in evaluators_of(cfg, 'val'):
        if is_coco(metric):
            kinds = metric.get('metric', 'bbox')
            kind = kinds if isinstance(kinds, str) else kinds[0]
            prefix = metric.get('prefix') or 'coco'
            if kind in ('bbox', 'segm'):
                return f'{prefix}/{kind}_mAP'
    raise ConfigError(
        'preset early_stopping does not know which number of val_evaluator to watch; '
        "set default_hooks.checkpoint.save_best to its name in the log, e.g. 'coco/"
        "bbox_mAP'."
    )
