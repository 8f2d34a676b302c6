#!/usr/bin/env python
"""Draw loss and AP curves of one training run, or of several compared.

    python tools/analysis/training_curves.py WORK_DIR [WORK_DIR ...] --out FILE.json
    python tools/analysis/training_curves.py A B C D --names host host ours ours

Resumed runs are joined. Runs with one name (other seeds) become their mean and range.
"""

import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.analysis.command_line import run
from mmdet_qrpaq.analysis.training.section import CURVES

if __name__ == '__main__':
    run(CURVES, __doc__)
