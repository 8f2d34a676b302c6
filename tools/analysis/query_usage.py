#!/usr/bin/env python
"""Count which query finds which object over a validation set; draw it, with Gini.

    python tools/analysis/query_usage.py CONFIG CHECKPOINT --out FILE.json
    python tools/analysis/query_usage.py CONFIG CHECKPOINT --name host \\
        --also ours CONFIG CHECKPOINT

Works on every DETR of MMDetection.
"""

import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.analysis.command_line import run
from mmdet_qrpaq.analysis.queries.section import USAGE

if __name__ == '__main__':
    run(USAGE, __doc__)
