"""A small PaQ-DINO on the digits in single and mixed precision, on the same batches.

Each precision starts from the same weights and takes its step on each batch in turn,
with the same denoising noise. Of the last tenth of the losses the mean is compared.
"""

import copy
import math
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.optim.scheduler import LinearLR
from mmengine.runner import Runner

from benchmarks.gpu_parts.precision import HALVES, autocast, precise
from mmdet_qrpaq.records.provenance import ROOT
from mmdet_qrpaq.runtime.building import build_untrained
from mmdet_qrpaq.runtime.configs import read_config
from mmdet_qrpaq.runtime.randomness import seed_everything

if TYPE_CHECKING:
    from benchmarks.gpu import Plan

LEAF = 'paq_dino_r18_4e_digits'
ITERATIONS = 200
TOLERANCE = 0.05  # of the loss in single precision


def make_batches(cfg: Any, count: int) -> list[dict]:
    """Make a data set and return batches of it, the same in each epoch."""
    sys.path.insert(0, str(ROOT / 'tools' / 'dataset'))
    from make_digits import main as make_digits

    with tempfile.TemporaryDirectory() as folder:
        sizes = ('--num-train', str(min(200, 8 * count)), '--num-val', '1')
        if make_digits(['--out', folder, *sizes]) not in (None, 0):
            raise RuntimeError('the digits cannot be made; see above.')
        loader = copy.deepcopy(cfg.train_dataloader)
        loader.dataset.data_root = f'{folder}/'
        loader.update(num_workers=0, persistent_workers=False)
        epoch = list(Runner.build_dataloader(loader, seed=0))
    return [epoch[i % len(epoch)] for i in range(count)]


class Training:
    """One model that is trained in one precision."""

    def __init__(self, cfg: Any, precision: str, device: str) -> None:
        self.precision, self.device = precision, device
        self.model = revert_sync_batchnorm(build_untrained(cfg)).to(device).train()
        wrapper = copy.deepcopy(cfg.optim_wrapper)
        if HALVES[precision] is not None and device == 'cuda':
            wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')
        self.optim = build_optim_wrapper(self.model, wrapper)
        self.warm_up = LinearLR(self.optim, start_factor=0.01, by_epoch=False, end=50)
        self.losses: list[float] = []

    def step(self, batch: dict) -> None:
        """Take a step; nothing of the batch is changed."""
        seed_everything(0, len(self.losses))
        data = self.model.data_preprocessor(copy.deepcopy(batch), training=True)
        with precise(self.precision):
            with autocast(self.precision, self.device):
                losses = self.model(**data, mode='loss')
                loss, _ = self.model.parse_losses(losses)
            self.optim.update_params(loss)
        self.warm_up.step()
        self.losses.append(loss.item())

    def told(self) -> dict:
        """Return losses, how many are no numbers, and the mean of the last tenth."""
        finite = [loss if math.isfinite(loss) else None for loss in self.losses]
        last = self.losses[-max(1, len(self.losses) // 10) :]
        mean = sum(last) / len(last)
        weights = all(p.isfinite().all() for p in self.model.parameters())
        return dict(
            losses=finite,
            not_finite=finite.count(None),
            weights_finite=bool(weights),
            last_loss=mean if math.isfinite(mean) else None,
        )


def measure(plan: 'Plan') -> dict:
    """Train as long as there is time, the precisions in turn."""
    cfg = read_config(str(Path(ROOT, 'configs', f'{LEAF}.py')))
    count = ITERATIONS if not plan.small else 3
    batches = make_batches(cfg, count)
    if plan.small:
        batches = [dict(batch, inputs=batch['inputs'][:1]) for batch in batches]
        for batch in batches:
            batch['data_samples'] = batch['data_samples'][:1]
    names = ('fp32', 'fp16', 'bf16') if plan.device == 'cuda' else ('fp32', 'bf16')
    trainings = {name: Training(cfg, name, plan.device) for name in names}
    failed: dict[str, str] = {}
    for number, batch in enumerate(batches, 1):
        if plan.time_is_up:
            break
        for name in [name for name in trainings if name not in failed]:
            try:
                trainings[name].step(batch)
            except Exception as error:  # the others go on
                failed[name] = f'{type(error).__name__}: {error}'[:500]
        if number % 50 == 0:
            plan.write(conclude(trainings, failed))
    return conclude(trainings, failed)


def conclude(trainings: dict[str, Training], failed: dict[str, str]) -> dict:
    """Return what each precision has reached, and which are not as they should be."""
    precisions = {name: one.told() for name, one in trainings.items() if one.losses}
    for name, error in failed.items():
        precisions.setdefault(name, {})['error'] = error
    single = precisions.get('fp32', {}).get('last_loss')
    bad = []
    for name, one in precisions.items():
        if one.get('last_loss') and single:
            one['ratio'] = one['last_loss'] / single
        healthy = not one.get('not_finite') and one.get('weights_finite')
        near = abs(one.get('ratio', math.inf) - 1) <= TOLERANCE
        if 'error' in one or not healthy or not near:
            bad.append(name)
    return dict(
        config=LEAF,
        tolerance=TOLERANCE,
        iterations=len(trainings['fp32'].losses),
        precisions=precisions,
        failed=bad,
    )
