#!/usr/bin/env python
"""Make one HTML page of every analysis that applies to one or several models.

    python tools/analysis/report.py CONFIG CHECKPOINT --out report.html
    python tools/analysis/report.py CONFIG CHECKPOINT --name host \\
        --also ours CONFIG CHECKPOINT --out report.html

The page holds everything in it: figures, tables, and how each was measured. What was
measured is kept in the folder report_files beside it and not measured again as long as
models, data and options stay the same; nor is what the scripts beside this one have
left beside the checkpoint (same words for name, config and checkpoint). Exit status 1:
an analysis failed; the page says which, and holds the others.
"""

import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.analysis.report.command import main
from mmdet_qrpaq.command_line import run

if __name__ == '__main__':
    run(lambda: main(__doc__))
