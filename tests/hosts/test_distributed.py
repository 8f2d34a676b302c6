"""Two processes, one of them without any object: nobody may wait for a gradient."""

import pytest
import torch.multiprocessing as mp

from two_processes import train_one_step


# With denoising and without; that every parameter has a gradient is in the contract.
@pytest.mark.parametrize('host', ['dino', 'conditional'])
def test_a_process_without_objects_keeps_up(host, tmp_path):
    store = f'file://{tmp_path}/store'
    mp.spawn(train_one_step, args=(store, host), nprocs=2)
