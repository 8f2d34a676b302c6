"""Seeding from a position: repeatable, and different everywhere else."""

import random

import numpy as np
import torch

from mmdet_qrpaq.runtime.randomness import seed_everything


def draws(*parts: int) -> tuple:
    seed_everything(*parts)
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_same_position_same_numbers() -> None:
    assert draws(3, 1, 0) == draws(3, 1, 0)


def test_every_position_has_its_own_numbers() -> None:
    positions = [(s, e, r) for s in (0, 1) for e in range(5) for r in range(3)]
    assert len({draws(*position) for position in positions}) == len(positions)
