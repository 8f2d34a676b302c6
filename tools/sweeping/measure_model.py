"""Counts which query finds which object, and what AP is with NMS: a step of every run.

    python tools/sweeping/measure_model.py CONFIG CHECKPOINT OUT.json

A process of its own, so that it uses the GPU of its run.
"""

import argparse
import json
import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.command_line import load_package, run


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint written by training (.pth)')
    parser.add_argument('out', type=Path, help='file to write')
    return parser.parse_args()


def main() -> None:
    """Count over the validation set and write the numbers."""
    args = parse_args()

    load_package()

    from mmdet_qrpaq.analysis.detections.duplicates import precision_with_nms
    from mmdet_qrpaq.analysis.matching import keeps_places
    from mmdet_qrpaq.analysis.queries.usage import count_query_hits
    from mmdet_qrpaq.analysis.trained_detector import build_dataloader, load_detector
    from mmdet_qrpaq.runtime.checkpoints import read_checkpoint
    from mmdet_qrpaq.runtime.configs import read_config

    cfg = read_config(args.config)
    detector, dataloader = load_detector(cfg, args.checkpoint), build_dataloader(cfg)
    numbers = dict(num_queries=detector.num_queries, gini=None, gini_confident=None)
    if keeps_places(detector):
        numbers = count_query_hits(detector, dataloader).as_dict()
    nms = precision_with_nms(detector, dataloader, cfg.val_evaluator)
    iteration = read_checkpoint(args.checkpoint)['meta']['iter']
    numbers |= dict(AP_with_nms=nms.ap, iteration=iteration)
    args.out.write_text(json.dumps(numbers) + '\n')


if __name__ == '__main__':
    run(main)
