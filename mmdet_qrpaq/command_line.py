"""What the command lines of the tools share: flags, and how a mistake is told.

A tool reads its arguments before it imports anything slow, then calls `load_package`.
"""

import argparse
import gc
import math
import os
import sys
from collections.abc import Callable
from urllib.error import URLError

from .errors import ConfigError

USER_ERROR = 2  # exit status, as argparse's
INTERRUPTED = 130  # as a shell's

# Modules that an extra of this package brings, where mmengine does not.
EXTRAS = dict.fromkeys(
    ('hotcoco', 'jinja2', 'jsonschema', 'matplotlib', 'rich', 'sklearn'), 'analysis'
)
EXTRAS |= dict(openvino='openvino', submitit='slurm', sahi='tiles', timm='timm')
EXTRAS |= dict.fromkeys(
    ('alembic', 'mlflow', 'sqlalchemy', 'tensorboard', 'wandb'), 'loggers'
)
EXTRAS |= dict.fromkeys(('onnx', 'onnxruntime', 'onnxscript'), 'export')
_RANK_VARIABLES = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')


def new_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser whose `--help` keeps the lines of a description."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add `--cfg-options`; `mmdet_qrpaq.settings.options.parse_settings` reads it."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help='change settings of the config, e.g. model.num_queries=300 or '
        'key="[a,b]"; text in quotes inside stays text, with its spaces: '
        "key=\"('hex bolt','7')\"",
    )


def build_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the flags common to training and testing."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir', help='folder for logs and results (work_dirs/<config name>)'
    )
    add_config_options(parser)
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


def add_model_arguments(parser: argparse.ArgumentParser, several: bool = True) -> None:
    """Add the arguments of every tool that analyses trained detectors.

    Args:
        several: Whether it can compare them.
    """
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint written by training (.pth)')
    parser.add_argument(
        '--split',
        choices=['val', 'test'],
        default='val',
        help='whose data loader of the config to use (val)',
    )
    add_config_options(parser)
    if not several:
        parser.set_defaults(also=[], name=None)
        return
    parser.add_argument('--name', help="the model's name (the config's file name)")
    parser.add_argument(
        '--also',
        nargs=3,
        action='append',
        default=[],
        metavar=('NAME', 'CONFIG', 'CHECKPOINT'),
        help='compare with this model; can be repeated; --cfg-options change its '
        'config, too',
    )


def share(text: str) -> float:
    """Read a number between 0 and 1.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'must be between 0 and 1, got {text}')
    return value


def count(text: str, least: int = 1, most: float = math.inf) -> int:
    """Read a whole number from 1, or from `least`, to `most`.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    if not text.isdecimal() or not least <= int(text) <= most:
        limits = f'from {least}' if most == math.inf else f'from {least} to {most}'
        raise argparse.ArgumentTypeError(f'must be a whole number {limits}, got {text}')
    return int(text)


def load_package() -> None:
    """Register the package's classes, for a tool that has its arguments.

    Raises:
        SystemExit: mmengine, mmcv or mmdet is missing or does not fit; printed before.
    """
    import mmdet_qrpaq

    try:
        mmdet_qrpaq.register()
    except ImportError as error:
        if error.name is not None:  # Python's own: a bug, which keeps its traceback
            raise
        print(f'error: {error}', file=sys.stderr)
        sys.exit(USER_ERROR)


def run(main: Callable[[], None]) -> None:
    """Run a tool; a mistake of the user becomes one sentence and exit status 2.

    Everything else keeps its traceback: it is a bug, not a mistake.
    """
    try:
        main()
    except KeyboardInterrupt:
        print('\nStopped.', file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        sentence = _user_error(error)
        if sentence is None:
            raise
        # Any process may be the only one that failed, be it for its own batch.
        ranks = [os.environ[name] for name in _RANK_VARIABLES if name in os.environ]
        first = ranks[:1] in ([], ['0'])
        who = '\nerror' if first else f'error in process {ranks[0]}'
        print(f'{who}: {sentence}', file=sys.stderr, flush=True)
        sys.exit(USER_ERROR)
    else:
        distributed = sys.modules.get('torch.distributed')  # some tools need no torch
        if distributed and distributed.is_available() and distributed.is_initialized():
            # gloo can deadlock if a peer leaves first or the model outlives the group.
            gc.collect()
            distributed.barrier()
            distributed.destroy_process_group()


def _user_error(error: BaseException | None) -> str | None:
    """Return the sentence for the user, of the error or of what it came from.

    It is the innermost: registries raise an error again with a prefix, as another of
    its class. But one that was raised `from` its cause says what there is to say.
    """
    sentence = None
    while error is not None:
        if isinstance(error, ConfigError):
            # A worker of a data loader puts its whole traceback before it.
            sentence = str(error).rpartition('ConfigError: ')[2].strip()
            if error.__cause__ is not None:
                break
        elif isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
            sentence = (
                f'this needs {error.name}, which is not installed; '
                f"pip install 'mmdet_qrpaq[{EXTRAS[error.name]}]'."
            )
        elif isinstance(error, URLError) and sentence is None:
            sentence = (
                f'pretrained weights cannot be downloaded ({error.reason}); connect to '
                'the internet, or start without them (--cfg-options '
                'model.backbone.init_cfg=None).'
            )
        error = error.__cause__ or error.__context__
    return sentence
