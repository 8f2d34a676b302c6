#!/usr/bin/env python
"""Time and memory of a mask branch against the box-only detector.

Writes benchmarks/results/masks_speed_<device>.json. Protocol:

- The detector is a leaf's with random weights on a random image without padding; the
  box-only one is the same leaf without `mask_branch`, with the same weights.
- A prediction goes from the normalised image to boxes (and masks) of that size. Both
  run one after the other in each repetition, in an order drawn anew, and the ratio is
  taken within the repetition, so that a slow minute of the machine hits both.
- Before anything is timed, both must find the same boxes.
- Every detection gets a mask, so their number counts: with random weights there are
  always `max_per_img` of them.
- Memory is that of one training step on one image of that size: the most bytes of
  tensors at a time, forward and backward, above what there was before. The objects
  are random rectangles with masks; both detectors get the same ones.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from rich.progress import track

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import recording
from mmdet_qrpaq.command_line import count, load_package, new_parser, run
from mmdet_qrpaq.records.provenance import ROOT, describe_environment

LEAF = 'paq_deformable_detr_pp_r50_12e_masks.py'


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the command line, checked."""
    parser = new_parser(__doc__)
    parser.add_argument(
        'config',
        nargs='?',
        default=str(ROOT / 'configs' / LEAF),
        help=f'a leaf with masks ({LEAF})',
    )
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument(
        '--size', type=count, nargs=2, default=(800, 1333), metavar=('H', 'W')
    )
    parser.add_argument('--batches', type=count, nargs='+', default=(1,), metavar='N')
    parser.add_argument('--repeats', type=partial(count, least=2), default=5)
    parser.add_argument(
        '--objects',
        type=count,
        nargs='*',
        default=(10, 100, 300),
        metavar='N',
        help='in the training steps whose memory is measured',
    )
    parser.add_argument('--out', type=Path, help='the result, a .json file')
    args = parser.parse_args(argv)
    recording.require_device(parser, args.device)
    args.out = recording.out_path(parser, args.out, f'masks_speed_{args.device}')
    return args


def main(argv: list[str] | None = None) -> None:
    """Measure at each batch size and write the result.

    Raises:
        ConfigError: The config has no mask branch, or the images are too small.
    """
    args = parse(argv)

    load_package()
    import torch

    from benchmarks.speed.masks_timing import build_pair, measure, training_memory
    from mmdet_qrpaq.errors import ConfigError
    from mmdet_qrpaq.runtime.configs import read_config

    environment = describe_environment(args.device)
    cfg = read_config(args.config)
    boxes, with_masks = build_pair(cfg, args.device)
    torch.manual_seed(0)
    height, width = args.size
    runs = []
    for batch in args.batches:
        images = torch.randn(batch, 3, height, width, device=args.device)
        try:
            runs.append(measure(boxes, with_masks, images, args.repeats))
        except RuntimeError as error:
            if 'selected index k out of range' not in str(error):
                raise
            raise ConfigError(
                f'an image of {height} x {width} has fewer positions than '
                f'{boxes.num_queries} queries; give a larger --size.'
            ) from error
    detectors = dict(boxes=boxes, masks=with_masks)
    image = torch.randn(1, 3, *args.size, device=args.device)
    memory = [
        training_memory(detectors, image, number)
        for number in track(args.objects, 'memory')
    ]
    settings = dict(
        config=Path(args.config).stem,
        device=args.device,
        threads=torch.get_num_threads(),
        size=list(args.size),
        repeats=args.repeats,
        protocol=__doc__.partition('Protocol:')[2].strip(),
    )
    measured = dict(runs=runs, training_memory=memory)
    recording.write(args.out, 'masks_speed', environment, settings, measured)
    print(f'written: {args.out}')


if __name__ == '__main__':
    run(main)
