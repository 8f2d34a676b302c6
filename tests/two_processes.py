"""What tests run on two processes; a module, since new processes import it."""

import faulthandler
import gc
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.runtime.configs import read_config
from mmdet_qrpaq.runtime.preflight import preflight
from tiny_hosts import build, host_config, make_batch, run_loss, total_loss


def train_one_step(rank: int, store: str, host: str, options: dict) -> None:
    """Objects in rank 0's images alone; every parameter must be reduced."""
    faulthandler.dump_traceback_later(180, exit=True)  # a hang becomes a failure
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=store, rank=rank, world_size=2)
    detector = MMDistributedDataParallel(build(host_config(host, **options)))
    objects = [3, 2] if rank == 0 else [0, 0]
    batch = make_batch(objects, seed=rank, with_masks='mask_branch' in options)
    for _ in range(2):  # the second forward fails if the first left one unreduced
        total_loss(run_loss(detector, batch)).backward()
    for name, parameter in detector.module.named_parameters():
        if not parameter.requires_grad:
            continue
        assert parameter.grad is not None, name
        gathered = [torch.empty_like(parameter.grad) for _ in range(2)]
        dist.all_gather(gathered, parameter.grad)
        assert torch.equal(*gathered), name
    # A model that outlives its process group can deadlock gloo's destructor.
    del detector, parameter
    gc.collect()
    dist.barrier()
    dist.destroy_process_group()


def look_through_data(rank: int, store: str, config: str, mendable: str, broken: str):
    """A training's checks: of a file that rank 0 mends, and of one that stops all."""
    faulthandler.dump_traceback_later(180, exit=True)
    dist.init_process_group('gloo', init_method=store, rank=rank, world_size=2)
    cfg = read_config(config)
    cfg.work_dir = str(Path(mendable).parent / 'run')
    cfg.train_dataloader.dataset.ann_file = mendable
    preflight(cfg, ('train', 'val'))
    copy = Path(cfg.train_dataloader.dataset.ann_file)
    assert copy.is_file() and copy.parent == Path(cfg.work_dir, 'annotations')
    cfg.train_dataloader.dataset.ann_file = broken
    with pytest.raises(ConfigError, match='its bbox is'):
        preflight(cfg, ('train', 'val'))
    dist.barrier()
    dist.destroy_process_group()
