"""Finds what to resume and makes the resumed run repeat the uninterrupted one."""

from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.runner import find_latest_checkpoint

from ..class_name import class_name
from .checkpoints import is_remote, read_checkpoint


def resolve_resume(cfg: Config, requested: str | None) -> None:
    """Set `resume` and `load_from` of a config, and the seed of the resumed run.

    Args:
        cfg: The config, changed in place. The processes are connected.
        requested: A checkpoint, `'auto'` for the latest in the work directory (with
            none there, training starts as configured), or `None`: as configured.

    Raises:
        ConfigError: If the checkpoint cannot be read.
    """
    if requested is None and cfg.get('resume') and not cfg.get('load_from'):
        requested = 'auto'
    if requested == 'auto':
        requested = _latest(cfg.work_dir)
        cfg.resume = False
        if requested is None:
            _say(f'Nothing to resume in {cfg.work_dir}, starting anew.')
    if requested is not None:
        cfg.resume, cfg.load_from = True, requested
    if cfg.get('resume') and (cfg.get('randomness') or {}).get('seed') is None:
        # mmengine restores a random seed only after the sampler has taken another one.
        seed = read_checkpoint(cfg.load_from).get('meta', {}).get('seed')
        cfg.merge_from_dict({'randomness.seed': seed})


def make_repeatable(cfg: Config) -> None:
    """Add the hooks and the loader setting that an exact resume needs."""
    _add_hook(cfg, 'ReproducibleRandomness')
    if cfg.get('resume'):
        _add_hook(cfg, 'CheckpointGroups')
        _add_hook(cfg, 'ConfiguredSchedule')
    if cfg.train_dataloader.get('persistent_workers'):
        # Workers that outlive an epoch carry random state no checkpoint can hold.
        cfg.train_dataloader.persistent_workers = False
        _say(
            'train_dataloader.persistent_workers is set to False, so that a resumed '
            'run repeats the uninterrupted one.'
        )


def _add_hook(cfg: Config, name: str) -> None:
    hooks = cfg.get('custom_hooks') or []
    present = (h['type'] if isinstance(h, dict) else type(h) for h in hooks)
    if name not in map(class_name, present):
        cfg.custom_hooks = [*hooks, dict(type=f'mmdet.{name}')]


def _say(text: str) -> None:
    if is_main_process():
        print_log(text)


def _latest(work_dir: str) -> str | None:
    path = find_latest_checkpoint(work_dir)
    if path is None or is_remote(path) or Path(path).exists():
        return path
    # The record is relative to where training was started; the folder may have moved.
    beside = Path(work_dir) / Path(path).name
    return str(beside) if beside.exists() else path
