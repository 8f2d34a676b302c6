"""How long a run is, how fast it learns, and how often it is looked at."""

import math

from mmengine.config import Config

from ..settings.decision import Decision
from ..settings.length import count_iterations, set_epochs
from .facts import Facts
from .options import RunOptions

# Fewer mini-batches than this teach a detector with queries little; more than so many
# passes over a tiny set teach it by heart.
LEAST_ITERATIONS = 10_000
MOST_EPOCHS = 300
MOST_VALIDATIONS = 30


def fit_learning_rate(cfg: Config, options: RunOptions, devices: int) -> list[Decision]:
    """Choose the learning rate for the batch.

    An Adam's rate goes with the square root of the batch (Malladi et al., NeurIPS
    2022), that of others with the batch (Goyal et al., 2017), as in mmengine.

    Args:
        devices: Over which a mini-batch is spread.
    """
    each = cfg.train_dataloader.batch_size
    updates = cfg.optim_wrapper.get('accumulative_counts', 1)
    batch = each * devices * updates
    what = f'batches of {batch} images'
    why = '--batch-size' if options.batch_size else "the config's"
    parts = [(devices, 'devices'), (updates, 'steps an update')]
    why += ''.join(f', on {n} {name}' for n, name in parts if n > 1)
    decided = [Decision('train_dataloader', what, why)]
    optimizer = cfg.optim_wrapper.get('optimizer') or {}
    if 'lr' not in optimizer:
        return decided
    base = (cfg.get('auto_scale_lr') or {}).get('base_batch_size')
    if options.lr:
        optimizer.lr, why = options.lr, '--lr'
    elif not base:
        why = "the config's; it does not say for which batch (auto_scale_lr)"
    elif base == batch:
        why = f"the config's, which is for batches of {base}"
    else:
        is_adam = 'adam' in str(optimizer.get('type', '')).lower()
        before, share = optimizer.lr, batch / base
        optimizer.lr = _rounded(before * (math.sqrt(share) if is_adam else share))
        rule = 'the square root of the batch' if is_adam else 'the batch'
        why = f"the config's is {before:g} for {base}, and goes with {rule}"
    # From here on it is for this batch: --auto-scale-lr changes it no second time.
    cfg.auto_scale_lr = dict(enable=False, base_batch_size=batch)
    return [*decided, Decision('optim_wrapper', f'learning rate {optimizer.lr:g}', why)]


def fit_length(
    cfg: Config, facts: Facts, options: RunOptions, devices: int
) -> list[Decision]:
    """Choose the number of epochs; the schedule is stretched with it.

    A run counted in iterations keeps its length, unless the options change it.
    """
    loop = cfg.train_cfg
    if options.iterations:
        count_iterations(cfg, options.iterations)
        return [
            Decision('train_cfg', f'{options.iterations} iterations', '--iterations')
        ]
    if 'max_epochs' not in loop:
        return []
    before = loop.max_epochs
    images = facts.num_images * _repeats(cfg.train_dataloader.dataset)
    batches = math.ceil(images / (cfg.train_dataloader.batch_size * devices))
    told = f'{images} images are {batches} mini-batches an epoch'
    if options.epochs:
        epochs, why = options.epochs, '--epochs'
    else:
        enough = min(math.ceil(LEAST_ITERATIONS / batches), MOST_EPOCHS)
        epochs = max(before, enough)
        why = f'the config has {before}; {told}, and '
        why += f'{LEAST_ITERATIONS:,} of them or {MOST_EPOCHS} epochs are the least'
        if epochs == before:
            why = f"the config's; {told}"
    set_epochs(cfg, epochs, batches)
    what = f'{epochs} epoch{"s" * (epochs > 1)}'
    decided = [Decision('train_cfg', what, why)]
    if epochs != before:
        why = 'it drops at the same share of the run; a warm-up takes a tenth at most'
        decided.append(
            Decision('param_scheduler', 'schedule of the learning rate', why)
        )
    return decided


def fit_intervals(cfg: Config) -> list[Decision]:
    """Validate and save a few dozen times at most, and keep the best.

    A run counted in iterations keeps its intervals.
    """
    epochs = cfg.train_cfg.get('max_epochs')
    if not epochs:
        return []
    interval = max(
        cfg.train_cfg.get('val_interval', 1), math.ceil(epochs / MOST_VALIDATIONS)
    )
    cfg.train_cfg.val_interval = interval
    hook = (cfg.get('default_hooks') or {}).get('checkpoint')
    if hook is None:
        return []
    hook.interval = interval
    hook.setdefault('max_keep_ckpts', 3)
    if not hook.get('save_best'):
        hook.update(save_best='coco/bbox_mAP', rule='greater')
    every = 'epoch' if interval == 1 else f'{interval} epochs'
    what = f'validation and a checkpoint every {every}'
    return [
        Decision(
            'default_hooks',
            what,
            f'{MOST_VALIDATIONS} times at most; the best one ({hook.save_best}) is '
            'kept, too',
        )
    ]


def _repeats(dataset: dict) -> int:
    """Return how often an epoch shows each image."""
    inner = dataset.get('dataset')
    return dataset.get('times', 1) * _repeats(inner) if inner else 1


def _rounded(value: float) -> float:
    return float(f'{value:.3g}')
