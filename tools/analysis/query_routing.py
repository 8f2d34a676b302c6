#!/usr/bin/env python
"""Count which queries enter which decoder layers over a data set (QR-DETR Table 2).

    python tools/analysis/query_routing.py CONFIG CHECKPOINT --out FILE.json

Prints the table; writes it with all counts, by class and size of the queries' objects
too, and draws the distribution of entering queries at each site (Fig. 4). The limit of
a routed slice can be changed without training:
--cfg-options model.query_routing.capacity=0.5.
"""

import sys
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mmdet_qrpaq.analysis.command_line import run
from mmdet_qrpaq.analysis.routing.section import ROUTING

if __name__ == '__main__':
    run(ROUTING, __doc__)
