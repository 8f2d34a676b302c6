"""Parameters and FLOPs of any MMDetection DETR, stage by stage.

PaQ-DETR Table 7 is the table it mirrors.

What is counted:

- Convention: one multiply-accumulate (MAC) is two FLOPs. Most detection papers
  print MACs under the name FLOPs, so both are reported; ratios are the same.
- Convolutions, linear layers and matrix products, attention's two included, are
  counted by `torch.utils.flop_counter`.
- Deformable attention is counted as it runs on the CPU: its linear layers as above;
  4 MACs for each bilinearly sampled number (four corners) in `aten.grid_sampler_2d`
  or, a row of the table each, in `embedding_bag`; and 1 MAC for each of them in the
  sum weighted by attention, which is element-wise and so added per layer here.
- Element-wise work is not counted: normalisation, activations, softmax, biases,
  residual sums, pooling, interpolation, top-k.
- One image, one inference pass up to the raw head outputs; training-only parts
  (denoising queries, losses) cost nothing. Every parameter counts once, frozen
  ones too, and those that only training needs (`training_params` of all); buffers
  do not.

A stage is a direct child of the detector. Work belongs to the stage that owns the
innermost running module: box branches called from the decoder are the head's.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models import DetectionTransformer
from mmdet.structures import DetDataSample
from mmengine.config import Config
from torch import Size, nn
from torch.utils.flop_counter import FlopCounterMode

from ...errors import ConfigError
from ...runtime.building import build_model
from .shapes_only import shapes_only

# What these do depends on the shape of an image alone, whatever it shows.
FIXED_STAGES = ('backbone', 'neck', 'encoder')
# Parameters and work that sit directly on the detector.
OWN_STAGE = '(detector itself)'


@dataclass(frozen=True)
class Complexity:
    """Parameters and FLOPs by stage, in the order of the detector's children.

    Attributes:
        params: Of each stage that has any.
        flops: Two per multiply-accumulate, of each stage that does any.
        training_params: How many of the parameters a checkpoint for testing may lack.
    """

    params: dict[str, int] = field(default_factory=dict)
    flops: dict[str, int] = field(default_factory=dict)
    training_params: int = 0

    @property
    def total_params(self) -> int:
        return sum(self.params.values())

    @property
    def total_flops(self) -> int:
        """Two per multiply-accumulate."""
        return sum(self.flops.values())

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types: totals first, then the stages."""
        return {
            'params': self.total_params,
            'training_params': self.training_params,
            'flops': self.total_flops,
            'macs': self.total_flops // 2,
            'stages': {
                stage: {
                    'params': self.params.get(stage, 0),
                    'flops': self.flops.get(stage, 0),
                }
                for stage in dict.fromkeys([*self.params, *self.flops])
            },
        }


def grid_sample_flops(
    value: Size, grid: Size, mode: int, *_: Any, out_shape: Size, **__: Any
) -> int:
    """Return 4 MACs per output of a bilinear `grid_sample`, none when nearest."""
    return 2 * 4 * prod(out_shape) if mode == 0 else 0


def embedding_bag_flops(
    table: Size, rows: Size, *_: Any, out_shape: Any, **__: Any
) -> int:
    """Return 1 MAC per number of each row that is summed up."""
    return 2 * prod(rows) * table[-1]


@contextmanager
def stage_hooks(
    model: nn.Module, counter: FlopCounterMode, flops: Counter
) -> Iterator[None]:
    """Charge what `counter` sees to the stage of the innermost running module."""
    running, charged = [OWN_STAGE], 0

    def charge() -> None:
        nonlocal charged
        total = counter.get_total_flops()
        flops[running[-1]] += total - charged
        charged = total

    def enter(stage: str, *_: Any) -> None:
        charge()
        running.append(stage)

    def leave(stage: str, *_: Any) -> None:
        charge()
        running.pop()

    def weighted_sum(
        stage: str, module: nn.Module, inputs: tuple, output: torch.Tensor
    ) -> None:
        samples = module.num_levels * module.num_points
        flops[stage] += 2 * output.numel() * samples

    with ExitStack() as stack:
        for name, module in model.named_modules():
            stage = name.partition('.')[0] or OWN_STAGE
            left, add = partial(leave, stage), module.register_forward_hook
            stack.enter_context(module.register_forward_pre_hook(partial(enter, stage)))
            stack.enter_context(add(left, always_call=True))
            if isinstance(module, MultiScaleDeformableAttention):
                stack.enter_context(add(partial(weighted_sum, stage)))
        yield
        charge()


@contextmanager
def plain_attention() -> Iterator[None]:
    """Keep attention in matrix products, which the counter knows on every device.

    Raises:
        ConfigError: torch is too old.
    """
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError as error:
        raise ConfigError(
            f'counting FLOPs needs torch 2.3 or newer, and this is {torch.__version__}.'
        ) from error
    fastpath = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)


@contextmanager
def without_gradients(model: nn.Module) -> Iterator[None]:
    """Let parameters ask for no gradient.

    `torch.no_grad` is not enough: pieces of a split parameter (the queries of a
    one-stage Deformable-DETR) still claim to need one, which the counter trips over.
    """
    asking = [p for p in model.parameters() if p.requires_grad]
    for parameter in asking:
        parameter.requires_grad_(False)
    try:
        with torch.no_grad():
            yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


def complexity_of(model: nn.Module, run: Callable[[], object]) -> Complexity:
    """Count what `run()` makes the modules of `model` do.

    Args:
        model: A module on the CPU.
        run: Calls the model once; its result is dropped.
    """
    params: Counter = Counter()
    for name, parameter in model.named_parameters():
        child, dot, _ = name.partition('.')
        params[child if dot else OWN_STAGE] += parameter.numel()
    training_only = {
        parameter
        for module in model.modules()
        if getattr(module, 'training_only', False)
        for parameter in module.parameters()
    }
    counter = FlopCounterMode(
        display=False,
        custom_mapping={
            torch.ops.aten.grid_sampler_2d: grid_sample_flops,
            torch.ops.aten._embedding_bag_forward_only: embedding_bag_flops,
        },
    )
    flops: Counter = Counter()
    with (
        without_gradients(model),
        plain_attention(),
        counter,
        stage_hooks(model, counter, flops),
    ):
        run()
    order = [name for name, _ in model.named_children()] + [OWN_STAGE]
    return Complexity(
        params={stage: params[stage] for stage in order if params[stage]},
        flops={stage: flops[stage] for stage in order if flops[stage]},
        training_params=sum(parameter.numel() for parameter in training_only),
    )


def detector_complexity(config: Config, shape: tuple[int, int]) -> Complexity:
    """Build the detector of a config on the CPU and count one image.

    Nothing is downloaded: weights are loaded by `init_weights`, which counting
    does not need. The memory of the encoder is all zeros, to be quick, so work that
    depends on the image's content (query routing) is counted for untrained queries
    that have seen nothing; `complexity_of` on a real image counts what is really done.

    Args:
        config: With a `model` and, for lazy parts, `custom_imports`.
        shape: Height and width of the image in pixels.

    Raises:
        ConfigError: The image has no size, or is too small for the detector; or the
            detector cannot be built or is no DETR.
    """
    if min(shape) < 1:
        raise ConfigError(
            f'an image of {shape[0]} x {shape[1]} cannot be counted; it must have at '
            'least 1 x 1 pixels.'
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # routers with other weights let others enter
        model = build_model(config).eval()
    if not isinstance(model, DetectionTransformer):
        raise ConfigError(
            f'{config.filename} builds a {type(model).__name__}, which is no DETR, and '
            'what others do is not counted; give the config of a DETR.'
        )
    sizes = ('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape')
    meta = dict.fromkeys(sizes, shape) | dict(scale_factor=(1.0, 1.0))
    sample = DetDataSample(metainfo=meta)
    image = torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(0))
    fixed = [part for name, part in model.named_children() if name in FIXED_STAGES]
    try:
        with shapes_only(*fixed):
            return complexity_of(model, lambda: model(image, [sample], mode='tensor'))
    except RuntimeError as error:
        # A two-stage detector, for one, needs as many positions as queries.
        raise ConfigError(
            f'{type(model).__name__} cannot run an image of {shape[0]} x {shape[1]} '
            f'({error}); give a larger one.'
        ) from error
