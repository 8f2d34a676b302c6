#!/usr/bin/env python
"""Draw validation images with ground truth beside the detections of some models.

    python tools/analysis/side_by_side.py CONFIG CHECKPOINT --out FILE.json
    python tools/analysis/side_by_side.py CONFIG CHECKPOINT --name host \\
        --also ours CONFIG CHECKPOINT

Detections are marked as right or wrong and, with several models, where another one has
none like it.
"""

import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.analysis.command_line import run
from mmdet_qrpaq.analysis.detections.section import SIDE_BY_SIDE

if __name__ == '__main__':
    run(SIDE_BY_SIDE, __doc__)
