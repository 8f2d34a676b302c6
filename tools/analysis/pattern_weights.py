#!/usr/bin/env python
"""Show which patterns make the queries that find something (PaQ-DETR Fig. 5).

    python tools/analysis/pattern_weights.py CONFIG CHECKPOINT --classes person cat

Draws W^D of the successful detections of some classes, its distribution, and the
cosines between the patterns. For models with patterns (model.pattern_query).
"""

import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.analysis.command_line import run
from mmdet_qrpaq.analysis.patterns.section import WEIGHTS

if __name__ == '__main__':
    run(WEIGHTS, __doc__)
