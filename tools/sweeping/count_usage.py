"""Counts which query of a trained model finds which object: a step of every run.

    python tools/sweeping/count_usage.py CONFIG CHECKPOINT OUT.json

A process of its own, so that it uses the GPU of its run.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import checkout  # noqa: F401

from mmdet_qrpaq.analysis.query_usage import count_query_hits
from mmdet_qrpaq.analysis.trained_detector import build_dataloader, load_detector
from mmdet_qrpaq.runtime.checkpoints import read_checkpoint
from mmdet_qrpaq.runtime.cli import run
from mmdet_qrpaq.runtime.configs import read_config


def main() -> None:
    """Count over the validation set and write the numbers."""
    config, checkpoint, out = sys.argv[1:]
    cfg = read_config(config)
    usage = count_query_hits(load_detector(cfg, checkpoint), build_dataloader(cfg))
    iteration = read_checkpoint(checkpoint)['meta']['iter']
    Path(out).write_text(json.dumps(dict(usage.as_dict(), iteration=iteration)) + '\n')


if __name__ == '__main__':
    run(main)
