#!/usr/bin/env python
"""Draw where chosen queries look, decoder layer by decoder layer, over images.

    python tools/analysis/sampling_points.py CONFIG CHECKPOINT --out FILE.json
    python tools/analysis/sampling_points.py CONFIG CHECKPOINT \\
        --images 000000000139.jpg --queries 3 17

Works on every DETR of MMDetection with deformable attention in its decoder. With query
routing, bypassed queries are marked.
"""

import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.analysis.command_line import run
from mmdet_qrpaq.analysis.sampling.section import SAMPLING

if __name__ == '__main__':
    run(SAMPLING, __doc__)
