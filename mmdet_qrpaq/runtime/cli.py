"""From the command line of `tools/train.py` or `tools/test.py` to a runner."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, init_dist, is_main_process
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from torch import distributed

from ..errors import ConfigError
from ..records.results import require_writable_folder
from ..settings.options import parse_settings
from .checkpoints import force_weights_only
from .configs import format_configs_once, read_config

# What a runner needs for each stage: all of it, or (validation alone) nothing.
_STAGE_PARTS = {
    'train': ('train_dataloader', 'train_cfg', 'optim_wrapper'),
    'val': ('val_dataloader', 'val_cfg', 'val_evaluator'),
    'test': ('test_dataloader', 'test_cfg', 'test_evaluator'),
}
# What each launcher leaves in the environment of the processes it starts.
_LAUNCHER_VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'MASTER_ADDR'),
}


def run_config(
    args: argparse.Namespace, stages: tuple[str, ...], name: str | None = None
) -> Config:
    """Read the config of a run and apply the common flags.

    Args:
        args: What a parser of `build_parser` in `mmdet_qrpaq.command_line` returned.
        stages: `('train', 'val')` or `('test',)`.
        name: Of the work folder, unless flag or config name one; the config's name.

    Raises:
        ConfigError: If the config cannot be read or lacks a part of a stage, or the
            work directory cannot be written.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    setup_cache_size_limit_of_dynamo()
    force_weights_only()
    format_configs_once()
    cfg = read_config(args.config, parse_settings(args.cfg_options))
    for stage in stages:
        parts = _STAGE_PARTS[stage]
        missing = [part for part in parts if cfg.get(part) is None]
        if missing and (stage != 'val' or len(missing) < len(parts)):
            raise ConfigError(
                f'config {args.config} has no {", ".join(missing)}; to {stage}, '
                f'{", ".join(parts)} must be set.'
            )
    cfg.launcher = args.launcher
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif not cfg.get('work_dir'):
        cfg.work_dir = str(Path('work_dirs') / (name or Path(args.config).stem))
    require_writable_folder(cfg.work_dir, '--work-dir')
    return cfg


def start_processes(cfg: Config) -> None:
    """Connect the processes of a distributed run, once; without CUDA through gloo.

    Raises:
        ConfigError: If the launcher did not start this process, or needs a GPU and
            there is none.
    """
    if cfg.launcher == 'none':
        return
    missing = [v for v in _LAUNCHER_VARIABLES[cfg.launcher] if v not in os.environ]
    if missing:
        raise ConfigError(
            f'--launcher {cfg.launcher} is for processes started by that launcher, '
            f'which sets {", ".join(missing)}; use tools/dist_*.sh or tools/slurm_*.sh,'
            ' or leave the flag out.'
        )
    env = cfg.get('env_cfg', {})
    set_multi_processing(**env.get('mp_cfg', {}), distributed=True)
    connected = distributed.is_available() and distributed.is_initialized()
    if not torch.cuda.is_available():
        _use_cpu_processes(cfg)
    if not connected and torch.cuda.is_available():
        init_dist(cfg.launcher, **env.get('dist_cfg', {}))
    elif not connected:
        distributed.init_process_group('gloo')


def on_main_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do it on rank 0 alone; every rank gets the outcome.

    Raises:
        ConfigError: It was raised there, or the work broke off.
    """
    outcome = [None, None]  # what it returned, or the sentence for the user
    if is_main_process():
        try:
            outcome[0] = work(*arguments)
        except ConfigError as error:
            outcome[1] = str(error)
        except Exception as error:
            # The other ranks wait for an outcome; let them stop as well.
            broadcast_object_list([None, f'{type(error).__name__} on rank 0: {error}'])
            raise
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise ConfigError(outcome[1])
    return outcome[0]


def build_runner(cfg: Config) -> Runner:
    """Build the runner a config asks for."""
    cfg = _spare_the_file(cfg)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def _spare_the_file(cfg: Config) -> Config:
    """Let the runner write the whole config beside a file that lies in its folder.

    mmengine writes it into the work folder under the name of the file it was read
    from: over that file, if it lies there.
    """
    path = Path(cfg.filename or '')
    written = Path(cfg.work_dir, path.name)
    if not path.is_file() or not written.exists() or not written.samefile(path):
        return cfg
    whole = path.with_name(f'{path.stem}_whole{path.suffix}')
    return Config(cfg.to_dict(), cfg_text=cfg.text, filename=str(whole))


def _use_cpu_processes(cfg: Config) -> None:
    """Prepare for gloo; mmengine's own start selects a CUDA device first."""
    if cfg.launcher != 'pytorch':
        raise ConfigError(
            f'--launcher {cfg.launcher} needs a GPU; on CPUs use tools/dist_train.sh '
            'or tools/dist_test.sh (--launcher pytorch).'
        )
    # mmengine's default names a device, which is refused for CPU modules.
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **(cfg.get('model_wrapper_cfg') or {}),
        'device_ids': None,
    }
