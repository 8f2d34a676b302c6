#!/usr/bin/env python
"""Time query routing against the host without it (QR-DETR Sec. 5).

Writes benchmarks/results/routing_speed_<device>.json. Protocol:

- The host is upstream's model with random weights and a random image without
  padding: neither changes the time. The routed model has the host's weights.
- The decoder is timed alone, on what the host's own encoder hands it. All variants run
  one after another in each repetition, in an order drawn anew, and each is divided by
  the host of its repetition, so that a slow minute of the machine hits all of them.
- Which queries enter is drawn at random, exactly as many in each image as the share
  says; router, policy, gather and scatter are part of the measured time.
- Everything but the decoder does not change with routing. It is timed on the host in
  the same process, and its median is added to that of each decoder: the whole model,
  from the normalised image to the boxes.
- `one_query` is the host's decoder given one query per image: what is spent on the
  memory of the encoder, which no routing of queries can save.
- Before anything is timed, all executors must give the same queries, and the host's
  where all of them enter.
"""

import argparse
import sys
from pathlib import Path

from rich.progress import Progress

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import recording
from mmdet_qrpaq.command_line import load_package, run
from mmdet_qrpaq.records.provenance import describe_environment

# Upstream's config, and our detector of it.
HOSTS = dict(
    deformable=(
        'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
        'QRPaQDeformableDETR',
    ),
    conditional=(
        'mmdet::conditional_detr/conditional-detr_r50_8xb2-50e_coco.py',
        'QRPaQConditionalDETR',
    ),
    dab=('mmdet::dab_detr/dab-detr_r50_8xb2-50e_coco.py', 'QRPaQDABDETR'),
    dino=('mmdet::dino/dino-4scale_r50_improved_8xb2-12e_coco.py', 'QRPaQDINO'),
)


def parse() -> argparse.Namespace:
    """Return the command line, checked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument(
        '--size', type=int, nargs=2, default=(800, 1333), metavar=('H', 'W')
    )
    parser.add_argument(
        '--hosts', nargs='+', choices=HOSTS, default=['deformable'], metavar='HOST'
    )
    parser.add_argument('--batches', type=int, nargs='+', default=(1, 4), metavar='N')
    parser.add_argument('--repeats', type=int, default=15, help='of the decoders')
    parser.add_argument(
        '--whole-repeats', type=int, default=3, help='of the rest of the model'
    )
    parser.add_argument('--out', type=Path, help='the result, a .json file')
    args = parser.parse_args()
    if min(args.repeats, args.whole_repeats) < 2:
        parser.error('--repeats and --whole-repeats must be at least 2 for a spread.')
    if min(*args.size, *args.batches) < 1:
        parser.error('--size and --batches must be positive.')
    recording.require_device(parser, args.device)
    args.out = recording.out_path(parser, args.out, f'routing_speed_{args.device}')
    return args


def main() -> None:
    """Measure each host at each batch size and write the result."""
    args = parse()

    load_package()
    import torch
    from mmengine.logging import MMLogger

    from benchmarks.speed.timing import SHARES, build_pair, measure, steps

    environment = describe_environment(args.device)
    MMLogger.get_current_instance().setLevel('WARNING')
    total = steps(args.repeats, args.whole_repeats)
    measured = {}
    with Progress() as progress:
        for name in args.hosts:
            host, routed = build_pair(*HOSTS[name], args.device)
            runs = []
            for batch in args.batches:
                task = progress.add_task(f'{name}, batch {batch}', total=total)
                torch.manual_seed(0)
                inputs = torch.randn(batch, 3, *args.size, device=args.device)
                runs.append(
                    measure(
                        host,
                        routed,
                        inputs,
                        args.repeats,
                        args.whole_repeats,
                        lambda task=task: progress.advance(task),
                    )
                )
            measured[name] = dict(queries=host.num_queries, runs=runs)
    settings = dict(
        device=args.device,
        threads=torch.get_num_threads(),
        size=list(args.size),
        repeats=args.repeats,
        whole_repeats=args.whole_repeats,
        shares=SHARES,
        protocol=__doc__.partition('Protocol:')[2].strip(),
    )
    recording.write(args.out, 'routing_speed', environment, settings, measured)
    print(f'written: {args.out}')


if __name__ == '__main__':
    run(main)
