"""Random numbers that depend on the seed and the position in training alone.

mmengine's checkpoints hold no random state, and data-loading workers that live across
epochs carry theirs with them, so a resumed run draws other augmentations and other
denoising noise than an uninterrupted one. Seeding afresh at every epoch (or iteration,
with an iteration-based loop) from (seed, position, rank) makes both runs the same, and
there is nothing to store.
"""

import random
from collections.abc import Iterator

import numpy as np
import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner


def seed_everything(*parts: int) -> None:
    """Seed Python, NumPy and torch (all devices) from a tuple of integers."""
    words = np.random.SeedSequence(parts).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.manual_seed(int(words[2]))


class _SeededBatches:
    """An endless batch iterator that seeds before it fetches batch number i."""

    def __init__(self, batches: Iterator, seed: int, rank: int) -> None:
        self.batches = batches
        self.seed = seed
        self.rank = rank
        self.position = 0

    def __next__(self) -> dict:
        seed_everything(self.seed, self.position, self.rank)
        self.position += 1
        return next(self.batches)

    def skip_iter(self, number: int) -> None:
        """Resume as OneDL's loop asks; upstream's asks for each batch in turn.

        Batches are made and thrown away: OneDL's own way starts its workers at the
        resumed position, with the random state of a first batch.
        """
        for _ in range(number):
            next(self)


@HOOKS.register_module()
class ReproducibleRandomness(Hook):
    """Seed from (seed, epoch or iteration, rank): a resumed run repeats the whole one.

    Exact on the CPU for checkpoints written at the end of an epoch and, with an
    iteration-based loop, for every checkpoint; on a GPU up to what its kernels leave to
    chance. Needs `persistent_workers=False` when `num_workers > 0`
    (`tools/train.py` sets both the hook and this).
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Prepare loader and loop, and say when a resume cannot be exact."""
        loop = runner.train_loop
        loader = loop.dataloader
        if isinstance(loop, IterBasedTrainLoop):
            loop.dataloader_iterator = _SeededBatches(
                loop.dataloader_iterator, runner.seed, runner.rank
            )
            return
        # torch seeds new workers from the main process, i.e. from (seed, epoch, rank);
        # mmengine's own function would give them the same seed in every epoch.
        loader.worker_init_fn = None
        if loader.num_workers > 0 and loader.persistent_workers:
            runner.logger.warning(
                'A resumed run will see other augmentations than an uninterrupted one: '
                'set train_dataloader.persistent_workers=False to make them equal.'
            )
        if isinstance(loop, EpochBasedTrainLoop) and loop.iter % len(loader):
            runner.logger.warning(
                f'The checkpoint was written in the middle of epoch {loop.epoch + 1}, '
                'which starts again from its first image.'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed this epoch of an epoch-based loop."""
        if not isinstance(runner.train_loop, IterBasedTrainLoop):
            seed_everything(runner.seed, runner.epoch, runner.rank)
