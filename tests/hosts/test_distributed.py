"""Two processes, one of them without any object: nobody may wait for a gradient."""

import multiprocessing

import pytest
import torch.multiprocessing as mp

from tiny_hosts import MASKS, METHODS
from two_processes import train_one_step

CHECKPOINTING = dict(activation_checkpointing=['encoder', 'decoder'])
HYBRID = dict(num_queries=7, num_repeats=2)
# Slow to import: done once, by the server that all processes are forked from.
multiprocessing.set_forkserver_preload(['mmdet.apis', 'torch._dynamo'])


# With denoising and without, and whatever waits for the other process: exit heads or
# the straight-through gradient, the masks' number of objects, the hybrid branch.
# That every parameter has a gradient is in the contract.
@pytest.mark.parametrize(
    ('host', 'options'),
    [
        ('dino', METHODS['qrpaq']),
        ('conditional', METHODS['qrpaq'] | CHECKPOINTING),
        ('deformable_two_stage', METHODS['qr'] | dict(mask_branch=MASKS)),
        ('dn_deformable', METHODS['paq'] | dict(hybrid_branch=HYBRID)),
    ],
)
def test_a_process_without_objects_keeps_up(host, options, tmp_path):
    store = f'file://{tmp_path}/store'
    arguments = (store, host, options)
    mp.start_processes(train_one_step, arguments, nprocs=2, start_method='forkserver')
