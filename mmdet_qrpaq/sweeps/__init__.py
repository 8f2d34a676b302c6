"""Training runs in numbers: planned, run, recorded, summed up. For `tools/sweep.py`."""

from pathlib import Path

HOME = Path(__file__).resolve().parents[2]
# Holds `tools` and `configs`: a checkout, or `.mim` of an installed package.
BESIDE = HOME if (HOME / 'tools' / 'sweep.py').exists() else HOME / 'mmdet_qrpaq/.mim'
