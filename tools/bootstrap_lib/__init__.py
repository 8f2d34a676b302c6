"""The parts of `tools/bootstrap.py`. Standard library only."""
