#!/usr/bin/env python
"""Strip a checkpoint to what testing and fine-tuning need.

    python tools/model/publish.py work_dirs/NAME/epoch_12.pth NAME.pth

Dropped: optimizer and scheduler state, the log history, what only training needs (exit
heads of query routing, extra queries of a hybrid branch), and everything in `meta` but
config, classes and position. Of a checkpoint with averaged weights (EMAHook) the
averaged ones are kept, which is what validation has measured: they are its state_dict
already; the raw ones go. Training cannot be resumed from the result.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import checkout  # noqa: F401
import torch

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.runtime.checkpoints import read_checkpoint
from mmdet_qrpaq.runtime.cli import require_writable_folder, run

TRAINING_ONLY = ('exit_heads', 'hybrid_queries')
KEPT_META = ('cfg', 'dataset_meta', 'epoch', 'iter', 'mmengine_version')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', help='checkpoint written by training (.pth)')
    parser.add_argument('out', type=Path, help='file to write; must not exist')
    return parser.parse_args(argv)


def strip(checkpoint: dict, path: str) -> tuple[dict, list[str]]:
    """Return what testing needs, and which weights are gone.

    The state_dict is changed in place: it also carries the versions of its layers.

    Raises:
        ConfigError: If it holds no weights.
    """
    weights = checkpoint['state_dict']
    is_table = isinstance(weights, dict) and len(weights) > 0
    if not is_table or not all(map(torch.is_tensor, weights.values())):
        raise ConfigError(
            f'checkpoint {path} holds no state_dict; give a .pth file written by '
            'training.'
        )
    unused = [key for key in weights if part_of(key) in TRAINING_ONLY]
    for key in unused:
        del weights[key]
    meta = checkpoint.get('meta', {})
    meta = {key: meta[key] for key in KEPT_META if key in meta}
    return dict(meta=meta, state_dict=weights), unused


def part_of(key: str) -> str:
    """Name of the detector's part that a weight belongs to."""
    return key.removeprefix('module.').partition('.')[0]


def write_new(checkpoint: dict, out: Path) -> None:
    """Write a file that is either complete or not there.

    Raises:
        ConfigError: If it exists by now, or cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    part = None
    try:
        with tempfile.NamedTemporaryFile(dir=out.parent, delete=False) as file:
            part = Path(file.name)
            torch.save(checkpoint, file)
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)  # a temporary file is readable by its owner alone
        refuse_existing(out)
        part.replace(out)
    except OSError as error:
        raise ConfigError(
            f'{out} cannot be written ({error.strerror}); choose another place.'
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def refuse_existing(out: Path) -> None:
    """Nothing is ever overwritten.

    Raises:
        ConfigError: If there is something at `out`.
    """
    if out.exists():
        raise ConfigError(f'{out} exists already; remove it or choose another name.')


def main(argv: list[str] | None = None) -> None:
    """Strip, write, and say what was done.

    Raises:
        ConfigError: If the checkpoint cannot be read or the result not be written.
    """
    args = parse_args(argv)
    refuse_existing(args.out)
    require_writable_folder(str(args.out.parent), 'OUT')
    checkpoint = read_checkpoint(args.checkpoint)
    if 'state_dict' not in checkpoint:  # bare weights
        checkpoint = dict(state_dict=checkpoint)
    published, unused = strip(checkpoint, args.checkpoint)
    write_new(published, args.out)
    dropped = sorted(checkpoint.keys() - published.keys())
    for part, number in Counter(map(part_of, unused)).items():
        dropped.append(f'{part} ({number} {"entry" if number == 1 else "entries"})')
    print(f'dropped: {", ".join(dropped) or "nothing"}')
    if 'ema_state_dict' in checkpoint:
        print('kept: the averaged weights (EMA), which state_dict holds')
    paths = [Path(args.checkpoint), args.out]
    sizes = [f'{p.stat().st_size / 1e6:.1f} MB' for p in paths if p.is_file()]
    print(f'{args.out}: {" -> ".join(sizes)}')


if __name__ == '__main__':
    run(main)
