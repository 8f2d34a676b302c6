#!/usr/bin/env python
"""All that wants a GPU, for anybody who has one for some minutes; installs nothing.

Writes benchmarks/results/gpu/PART.json, each again whenever there is more to tell, so
that being cut off loses nothing. Parts, in this order:

- kernels: deformable attention, mmcv's kernel against the PyTorch code: errors, times.
- tests: tests/gpu, all hosts and methods.
- steps: training step and prediction of DINO-R50 and its methods beside upstream's.
- executors: a routed decoder at several shares of entering queries.
- digits: the same small training in single and mixed precision.

A part that fails is told in its file, and the next one runs; exit status 1 then.
"""

import argparse
import math
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import recording
from mmdet_qrpaq.command_line import load_package, run
from mmdet_qrpaq.records.provenance import ROOT, describe_environment
from mmdet_qrpaq.records.results import require_writable_folder

# Share of the minutes after which a part is to end; what one leaves is the next one's.
ENDS = dict(kernels=0.06, tests=0.36, steps=0.78, executors=0.84, digits=1.0)


class Plan(NamedTuple):
    """What a part is given.

    Attributes:
        device: `'cuda'` or `'cpu'`.
        small: Make everything as small as it can be, to see that it runs.
        side, batch: Of the images of `steps`, in pixels, and how many.
        repeats: Timed repetitions, where there is time for them.
        ends: When no other repetition is to begin, on `time.perf_counter`.
        write: Takes what has been measured so far.
    """

    device: str
    small: bool
    side: int
    batch: int
    repeats: int
    ends: float
    write: Callable[[dict], object]

    @property
    def time_is_up(self) -> bool:
        """Whether no other repetition is to begin."""
        return time.perf_counter() > self.ends


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line, checked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--parts', nargs='+', choices=ENDS, default=list(ENDS), metavar='PART')
    add('--minutes', type=float, default=12.0, help='for all parts together (12)')
    add('--repeats', type=int, default=9, help='timed repetitions of each model (9)')
    add('--small', action='store_true', help='tiny models: does it all run?')
    add('--side', type=int, default=640, help='of the images of steps (640)')
    add('--batch', type=int, default=4, help='images of a step (4)')
    add('--device', choices=('cpu', 'cuda'), help='(cuda, with --small cpu)')
    add('--commit', help='of this code, for a copy of it that is no git checkout')
    add('--out', type=Path, help='folder for the results')
    args = parser.parse_args(argv)
    if args.minutes <= 0 or args.repeats < 2 or args.side < 320 or args.batch < 1:
        parser.error(
            '--minutes and --batch must be positive, --side at least 320, which has '
            'positions for 900 queries, --repeats at least 2 for a spread.'
        )
    if args.small:
        args.side, args.batch = 64, 1
    args.device = args.device or ('cpu' if args.small else 'cuda')
    recording.require_device(parser, args.device)
    results = ROOT / 'work_dirs' / 'gpu_small' if args.small else recording.RESULTS
    args.out = args.out or results / 'gpu'
    require_writable_folder(str(args.out), '--out')
    return args


def measure_part(name: str) -> Callable[[Plan], dict]:
    """Return what does a part; imported when its turn has come."""
    from benchmarks.gpu_parts import digits, executors, kernels, steps, test_run

    modules = dict(
        kernels=kernels, tests=test_run, steps=steps, executors=executors, digits=digits
    )
    return modules[name].measure


def finite(value: Any) -> Any:
    """Return what JSON can hold: None for a number that is none."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def gpu_answers(device: str) -> bool:
    """Tell whether a GPU still works: some errors of a kernel end its process."""
    import torch

    try:
        return device == 'cpu' or torch.zeros(1, device=device).item() == 0
    except RuntimeError:
        return False


def describe_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return what all parts have in common."""
    import torch

    return dict(
        device=args.device,
        small=args.small,
        minutes=args.minutes,
        threads=torch.get_num_threads(),
        cuda=torch.version.cuda,
        matmul_tf32=torch.backends.cuda.matmul.allow_tf32,
        cudnn_tf32=torch.backends.cudnn.allow_tf32,
    )


def go_on(args: argparse.Namespace, parts: list[str], minutes: float) -> None:
    """Do the other parts in a process of their own."""
    command = [sys.executable, __file__, '--minutes', f'{minutes:.2f}']
    command += ['--repeats', str(args.repeats), '--device', args.device]
    if not args.small:
        command += ['--side', str(args.side), '--batch', str(args.batch)]
    command += ['--out', str(args.out), *['--small'] * args.small]
    command += ['--commit', args.commit] if args.commit else []
    subprocess.run([*command, '--parts', *parts], check=False)


def main(argv: list[str] | None = None) -> None:
    """Do all parts, whatever happens to one of them."""
    begin = time.perf_counter()
    args = parse(argv)

    load_package()
    from mmengine.logging import MMLogger

    environment = describe_environment(args.device)
    environment['commit'] = environment['commit'] or args.commit
    MMLogger.get_current_instance().setLevel('ERROR')
    settings = describe_settings(args)
    failed = []
    parts = [name for name in ENDS if name in args.parts]
    for number, name in enumerate(parts):
        started = time.perf_counter()
        seen: dict[str, Any] = {}

        def write(measured: dict, name: str = name, seen: dict = seen) -> None:
            measured = finite(measured)
            seen.clear()
            seen.update(measured)
            path = args.out / f'{name}.json'
            recording.write(path, f'gpu_{name}', environment, settings, measured)

        # Parts that are not wanted leave their time to the others.
        share = ENDS[name] / ENDS[parts[-1]]
        ends = begin + 60 * args.minutes * share
        plan = Plan(
            args.device,
            args.small,
            args.side,
            args.batch,
            args.repeats,
            ends,
            write,
        )
        error = None
        try:
            write(measure_part(name)(plan))
        except Exception as raised:  # whatever it was, there are other parts
            traceback.print_exc()
            error = f'{type(raised).__name__}: {raised}'[:2000]
            write(dict(seen, error=error))
        if error or seen.get('failed'):
            failed.append(name)
        seconds = time.perf_counter() - started
        print(f'{name}: {error or "done"}, {seconds:.0f} s', flush=True)
        rest = parts[number + 1 :]
        if rest and not gpu_answers(args.device):
            left = args.minutes - (time.perf_counter() - begin) / 60
            go_on(args, rest, max(left, 1.0))
            break
    if failed:
        print(f'failed: {", ".join(failed)}; see {args.out}', file=sys.stderr)
        sys.exit(1)


if __name__ == '__main__':
    run(main)
