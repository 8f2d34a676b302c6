#!/usr/bin/env python
"""Measure what detectors cost on real images, and compare them with the first one.

    python tools/analysis/efficiency.py CONFIG CHECKPOINT --out FILE.json
    python tools/analysis/efficiency.py CONFIG CHECKPOINT --name host \\
        --also ours CONFIG CHECKPOINT --batch-sizes 1 4

Parameters, FLOPs (deformable attention and routing counted), memory and time, whole and
by stage, of any DETR of MMDetection. `none` in place of a checkpoint is a model with
random weights: good for all that does not depend on what queries have learned.
"""

import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.analysis.command_line import run
from mmdet_qrpaq.analysis.cost.section import EFFICIENCY

if __name__ == '__main__':
    run(EFFICIENCY, __doc__)
