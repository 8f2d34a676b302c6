"""What ``tools/train.py`` and ``tools/test.py`` share: flags, config, exit status."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import torch
from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config, DictAction
from mmengine.dist import init_dist
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from torch import distributed

from ..errors import ConfigError
from .checkpoints import force_weights_only

USER_ERROR = 2  # exit status, as argparse's


def build_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the flags common to training and testing."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir', help='folder for logs and results (work_dirs/<config name>)'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='change settings of the config, e.g. model.num_queries=300 or '
        'key="[a,b]" (lists and tuples in quotes, without spaces)',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes (none: this one alone)',
    )
    # Older launchers pass the local rank as an argument instead of LOCAL_RANK.
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS
    )
    return parser


def load_config(args: argparse.Namespace) -> Config:
    """Read the config of a run and apply the common flags.

    Raises:
        ConfigError: If the config file does not exist.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    setup_cache_size_limit_of_dynamo()
    force_weights_only()
    if not Path(args.config).is_file():
        raise ConfigError(
            f'config {args.config} does not exist in {Path.cwd()}; give the path of a '
            '.py config file.'
        )
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif not cfg.get('work_dir'):
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    return cfg


def start_processes(cfg: Config) -> None:
    """Connect the processes of a distributed run; without CUDA through gloo.

    Raises:
        ConfigError: If the launcher needs a GPU and there is none.
    """
    if cfg.launcher == 'none':
        return
    env = cfg.get('env_cfg', {})
    set_multi_processing(**env.get('mp_cfg', {}), distributed=True)
    if torch.cuda.is_available():
        init_dist(cfg.launcher, **env.get('dist_cfg', {}))
    else:
        _init_cpu_processes(cfg)


def build_runner(cfg: Config) -> Runner:
    """Build the runner a config asks for."""
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def run(main: Callable[[], None]) -> None:
    """Run a tool; a mistake of the user becomes one sentence and exit status 2.

    Everything else keeps its traceback: it is a bug, not a mistake.
    """
    try:
        main()
    except Exception as error:
        sentence = _user_error(error)
        if sentence is None:
            raise
        # Every rank fails alike; one of them says why.
        if os.environ.get('RANK', '0') == '0':
            print(f'\nerror: {sentence}', file=sys.stderr, flush=True)
        sys.exit(USER_ERROR)
    else:
        if distributed.is_available() and distributed.is_initialized():
            # gloo can hang in its destructor if a peer leaves first.
            distributed.barrier()
            distributed.destroy_process_group()


def _init_cpu_processes(cfg: Config) -> None:
    """Start gloo; mmengine's own start selects a CUDA device first."""
    if cfg.launcher != 'pytorch':
        raise ConfigError(
            f'--launcher {cfg.launcher} needs a GPU; on CPUs use tools/dist_train.sh '
            'or tools/dist_test.sh (--launcher pytorch).'
        )
    distributed.init_process_group('gloo')
    # mmengine's default names a device, which is refused for CPU modules.
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **(cfg.get('model_wrapper_cfg') or {}),
        'device_ids': None,
    }


def _user_error(error: BaseException | None) -> str | None:
    """Return the innermost sentence for the user; registries re-raise with a prefix."""
    sentence = None
    while error is not None:
        if isinstance(error, ConfigError):
            sentence = str(error)
        elif isinstance(error, URLError) and sentence is None:
            sentence = (
                f'pretrained weights cannot be downloaded ({error.reason}); connect to '
                'the internet, or start without them (--cfg-options '
                'model.backbone.init_cfg=None).'
            )
        error = error.__cause__ or error.__context__
    return sentence
