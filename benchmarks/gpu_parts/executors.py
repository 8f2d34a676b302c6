"""A routed DINO decoder beside the host's, at several shares of entering queries."""

from typing import TYPE_CHECKING

import torch

from benchmarks.speed import timing
from benchmarks.speed.routing import HOSTS
from mmdet_qrpaq.records.provenance import ROOT

if TYPE_CHECKING:
    from benchmarks.gpu import Plan


def measure(plan: 'Plan') -> dict:
    """Return what `benchmarks/speed/routing.py` does, at 640 x 640, batch 4."""
    side, batch, repeats = (640, 4, plan.repeats) if not plan.small else (128, 1, 2)
    config, detector = HOSTS['dino']
    if plan.small:
        config = str(ROOT / 'configs' / '_base_' / 'small_dino_digits.py')
    host, routed = timing.build_pair(config, detector, plan.device)
    torch.manual_seed(0)
    inputs = torch.randn(batch, 3, side, side, device=plan.device)
    run = timing.measure(host, routed, inputs, repeats, 2)
    return dict(
        dino=dict(queries=host.num_queries, runs=[run]),
        size=[side, side],
        repeats=repeats,
    )
