"""Counts which query finds which object, and what AP is with NMS: a step of every run.

    python tools/sweeping/measure_model.py CONFIG CHECKPOINT OUT.json

A process of its own, so that it uses the GPU of its run.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import checkout  # noqa: F401

from mmdet_qrpaq.analysis.duplicates import precision_with_nms
from mmdet_qrpaq.analysis.matching import keeps_places
from mmdet_qrpaq.analysis.query_usage import count_query_hits
from mmdet_qrpaq.analysis.trained_detector import build_dataloader, load_detector
from mmdet_qrpaq.runtime.checkpoints import read_checkpoint
from mmdet_qrpaq.runtime.cli import run
from mmdet_qrpaq.runtime.configs import read_config


def main() -> None:
    """Count over the validation set and write the numbers."""
    config, checkpoint, out = sys.argv[1:]
    cfg = read_config(config)
    detector, dataloader = load_detector(cfg, checkpoint), build_dataloader(cfg)
    numbers = dict(num_queries=detector.num_queries, gini=None, gini_confident=None)
    if keeps_places(detector):
        numbers = count_query_hits(detector, dataloader).as_dict()
    nms = precision_with_nms(detector, dataloader, cfg.val_evaluator)
    iteration = read_checkpoint(checkpoint)['meta']['iter']
    numbers |= dict(AP_with_nms=nms.ap, iteration=iteration)
    Path(out).write_text(json.dumps(numbers) + '\n')


if __name__ == '__main__':
    run(main)
