"""Training runs in numbers: planned, run, recorded, summed up. For `tools/sweep.py`."""
