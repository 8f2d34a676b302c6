"""How a step of the optimizer is made: of several mini-batches, in lower precision."""

import mmengine.device
import torch
from mmengine.config import Config

from ..class_name import class_name
from ..errors import ConfigError
from ..settings.decision import Decision


def gradient_accumulation(cfg: Config, batches: int) -> list[Decision]:
    """Update the weights once in several mini-batches, by their mean gradient.

    mmengine's `accumulative_counts`. Gradients are clipped once an update; those of the
    last, incomplete update are averaged over what it has. The learning rate stays, but
    with `--data` and `--auto-scale-lr`, which count the larger batch. What is counted
    in iterations (warm-up, schedule, intervals, length) still counts mini-batches.

    Costs: no memory; fewer updates an epoch. Batch norm still sees one mini-batch.
    A run resumed between two updates loses the gradients before it.
    Use it: when the batch that a learning rate is for does not fit into memory.

    Args:
        cfg: Changed in place.
        batches: Mini-batches an update.
    """
    _wrapper(cfg, 'gradient_accumulation')
    cfg.optim_wrapper.accumulative_counts = batches
    size = cfg.train_dataloader.get('batch_size')
    what = f'an update in {batches} mini-batches'
    what += f' of {size} images' if size else ''
    return [Decision('optim_wrapper', what, 'preset gradient_accumulation')]


def amp(cfg: Config) -> list[Decision]:
    """Train in half precision where that is safe, with a scaled loss.

    mmengine's `AmpOptimWrapper`. Validation stays in single precision.

    Costs: a step whose gradients overflow is left out.
    Use it: on GPUs without bfloat16 (before Ampere); elsewhere `bf16` has no overflow.

    Raises:
        ConfigError: There is no GPU.
    """
    _wrapper(cfg, 'amp')
    if mmengine.device.get_device() == 'cpu':
        raise ConfigError(
            '--amp (preset amp) needs a GPU, and there is none; leave it out, or take '
            '--preset bf16.'
        )
    _replace(cfg, dict(type='AmpOptimWrapper', loss_scale='dynamic'))
    return [Decision('optim_wrapper', 'half precision (float16)', 'preset amp')]


def bf16(cfg: Config) -> list[Decision]:
    """Train in bfloat16 where that is safe; weights and updates stay as they are.

    Our `BFloat16OptimWrapper`: `AmpOptimWrapper` refuses CPUs, and scales the loss,
    which bfloat16 with the range of single precision does not need. Validation stays in
    single precision.

    Costs: 8 bits of precision in matrix products; a CPU without bfloat16 instructions
    gets slower.
    Use it: on GPUs from Ampere on, and CPUs with AMX or AVX512-BF16.

    Raises:
        ConfigError: The GPU has no bfloat16.
    """
    _wrapper(cfg, 'bf16')
    if mmengine.device.get_device() == 'cuda' and not torch.cuda.is_bf16_supported():
        raise ConfigError(
            'preset bf16 needs a GPU with bfloat16 (Ampere or newer); take amp.'
        )
    _replace(cfg, dict(type='mmdet.BFloat16OptimWrapper'))
    return [Decision('optim_wrapper', 'bfloat16', 'preset bf16')]


def _wrapper(cfg: Config, preset: str) -> None:
    """Refuse a config whose steps are made in another way."""
    kind = class_name((cfg.get('optim_wrapper') or {}).get('type', 'OptimWrapper'))
    known = ('OptimWrapper', 'AmpOptimWrapper', 'BFloat16OptimWrapper')
    if kind not in known:
        raise ConfigError(
            f'preset {preset} changes an OptimWrapper, and optim_wrapper.type is '
            f'{kind}; leave the preset out.'
        )


def _replace(cfg: Config, kind: dict) -> None:
    for name in ('loss_scale', 'dtype', 'use_fsdp'):  # of AmpOptimWrapper
        cfg.optim_wrapper.pop(name, None)
    cfg.optim_wrapper.update(kind)
