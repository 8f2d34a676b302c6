"""Parameter groups with equal settings made one, for any model of mmdet.

In a config: `optim_wrapper = dict(constructor='MergedOptimWrapperConstructor')`, and
with `optimizer=dict(fused=True)` one fused step, where torch has it.
"""

from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIMIZERS
from torch import nn


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MergedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with equal parameter groups made one.

    With any `paramwise_cfg` mmengine makes a group of every tensor, and torch takes one
    group after the other. Every parameter keeps its settings. Groups stand in the order
    of their first parameters, so that the first, whose learning rate is logged, has the
    same. `optimizer.fused=True` is left out where torch has no fused step on the
    model's devices.
    """

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Add a module's parameters as mmengine does; merge when all are there."""
        super().add_params(params, module, prefix, is_dcn_module)
        if not prefix:  # with one, it is the host that goes down into a child
            params[:] = merge_equal(params)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Return the wrapper of the model's optimizer."""
        if self.optimizer_cfg.get('fused'):
            kind = self.optimizer_cfg['type']
            devices = {p.device for p in model.parameters() if p.requires_grad}
            lacking = sorted(str(d) for d in devices if not has_fused_step(kind, d))
            if lacking:
                self.optimizer_cfg = dict(self.optimizer_cfg, fused=None)
                print_log(
                    f'torch {torch.__version__} has no fused step of {kind} on '
                    f'{", ".join(lacking)}: optimizer.fused is left out.',
                    logger='current',
                )
        return super().__call__(model)


def merge_equal(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return groups that differ in a setting; parameters keep their order in each."""
    merged: list[tuple[dict, list]] = []
    for group in groups:
        settings = {key: value for key, value in group.items() if key != 'params'}
        for known, members in merged:
            if known == settings:
                members.extend(group['params'])
                break
        else:
            merged.append((settings, list(group['params'])))
    return [dict(settings, params=members) for settings, members in merged]


def has_fused_step(kind: str | type, device: torch.device) -> bool:
    """Tell whether this torch has one, by taking it with a single number."""
    if isinstance(kind, str):
        kind = OPTIMIZERS.get(kind)
    number = torch.zeros(1, device=device, requires_grad=True)
    number.grad = torch.zeros_like(number)
    try:
        kind([number], lr=1.0, fused=True).step()
    except (RuntimeError, TypeError):  # not on this device; not of this optimizer
        return False
    return True
