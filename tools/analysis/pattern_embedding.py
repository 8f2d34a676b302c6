#!/usr/bin/env python
"""Lay out images by their pattern weights W^D with t-SNE (PaQ-DETR Fig. 6).

    python tools/analysis/pattern_embedding.py CONFIG CHECKPOINT --by supercategory

Each point is an image or, with --points detections, a successful detection; colours
are classes. For models with patterns (model.pattern_query).
"""

import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.analysis.command_line import run
from mmdet_qrpaq.analysis.patterns.section import EMBEDDING

if __name__ == '__main__':
    run(EMBEDDING, __doc__)
