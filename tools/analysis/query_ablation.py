#!/usr/bin/env python
"""AP with half the attention and with fewer queries, without retraining (QR Fig. 2).

    python tools/analysis/query_ablation.py CONFIG CHECKPOINT --out FILE.json
    python tools/analysis/query_ablation.py CONFIG CHECKPOINT --name host \\
        --also ours CONFIG CHECKPOINT --queries 300 150 50

Works on every DETR of MMDetection. What is switched off, and which queries are kept, is
told by sublayers.py and ablation.py in mmdet_qrpaq/analysis/queries.
"""

import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.analysis.command_line import run
from mmdet_qrpaq.analysis.queries.section import ABLATION

if __name__ == '__main__':
    run(ABLATION, __doc__)
