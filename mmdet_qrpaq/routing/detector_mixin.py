"""Joins query routing to a DETR of mmdet.

Sits *above* the host class: the host builds its decoder, whose layers are then replaced
by routed ones that adopt their parts. Heads, losses and box refinement stay the host's;
whether a bypassed query gets them, too, is `supervise` and `bypassed_boxes`.
"""

from dataclasses import replace
from functools import partial

from mmengine.model import ModuleList
from torch import Tensor

from ..errors import ConfigError, check_names
from ..matching import hungarian_losses, pad_ground_truth
from ..temporary_attribute import temporary_attribute
from ..training_only import training_only
from .benefit import benefit_losses
from .eeqr_layer import EEQRDecoderLayer, RoutingTrace
from .exit_heads import ExitHeads
from .head_mixin import EnteringDETRHead
from .kept_boxes import keep_boxes
from .settings import RoutingSettings


class QueryRoutingMixin:
    """Adds `query_routing` to a detector (QR-DETR Sec. 4).

    Args:
        query_routing: See `RoutingSettings`; None leaves the host as it is.

    Raises:
        ConfigError: If a setting cannot work, or the head cannot serve it.
    """

    def __init__(self, *args, query_routing: dict | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.exit_heads = None
        if query_routing is None:
            return
        layers = self.decoder.layers
        # DAB-DETR may repeat each of its anchors.
        num_queries = self.num_queries * max(1, getattr(self, 'num_patterns', 0))
        settings = RoutingSettings.from_config(query_routing, num_queries, len(layers))
        self.decoder.layers = ModuleList(
            EEQRDecoderLayer(layer, site, settings)
            for layer, site in zip(layers, settings.sites, strict=True)
        )
        if settings.has_exit_heads:
            heads = ExitHeads(
                self.bbox_head, len(layers), self.embed_dims, settings.exit_input
            )
            self.exit_heads = training_only('exit_heads', heads)
        can_leave_out = isinstance(self.bbox_head, EnteringDETRHead)
        if settings.supervise == 'entering' and not can_leave_out:
            raise ConfigError(
                "query_routing.supervise='entering' needs "
                "bbox_head.type='QualityAwareDINOHead' or that of another host, and it "
                f'is {type(self.bbox_head).__name__}.'
            )
        if settings.supervise == 'entering' and not self.bbox_head.batches_losses:
            raise ConfigError(
                "query_routing.supervise='entering' leaves queries out of losses, and "
                "mmdet's cannot do so: set bbox_head.batched_losses=True, with losses "
                'that matching/losses.py names.'
            )
        if settings.bypassed_boxes == 'kept':
            keep_boxes(self)

    @property
    def routed_layers(self) -> list[EEQRDecoderLayer]:
        """The decoder's layers, if they are routed."""
        layers = self.decoder.layers
        return [layer for layer in layers if isinstance(layer, EEQRDecoderLayer)]

    def change_routing(self, **changes) -> None:
        """Change settings of all routed layers, for instance `capacity=100`.

        Raises:
            ConfigError: If a setting cannot work, or not on a model that is built, or
                if the detector does not route.
        """
        layers = self.routed_layers
        if not layers:
            raise ConfigError(
                'query_routing is not in the config of this detector, so that there is '
                'nothing to change: set it there.'
            )
        check_names('query_routing', changes, RoutingSettings.names())
        settings = replace(layers[0].settings, **changes)
        for layer in layers:
            layer.settings = settings

    def init_weights(self) -> None:
        """Initialise the host, all under its decoder too; then the routers anew."""
        super().init_weights()
        for layer in self.routed_layers:
            layer.router.init_weights()
        if self.exit_heads is not None:
            self.exit_heads.start_as(self.bbox_head)

    def pre_decoder(self, *args, **kwargs) -> tuple[dict, dict]:
        """Run the host's; tell the layers the number of leading denoising queries."""
        decoder_inputs, head_inputs = super().pre_decoder(*args, **kwargs)
        dn_meta = head_inputs.get('dn_meta') or {}
        for layer in self.routed_layers:
            layer.num_denoising = dn_meta.get('num_denoising_queries', 0)
        return decoder_inputs, head_inputs

    def forward_decoder(self, *args, **kwargs) -> dict:
        """Decode as the host does; in training, exit heads predict from the traces."""
        layers = self.routed_layers
        for layer in layers:
            layer.entered = None
        head_inputs = super().forward_decoder(*args, **kwargs)
        # Taken at once: traces of a graph would break deepcopy and EMA.
        traces = [layer.take_trace() for layer in layers]
        if self.exit_heads is not None and '_exit_inputs' in vars(self):
            references = without_denoising(
                head_inputs['references'], layers[0].num_denoising
            )
            self._exit_inputs[:] = traces, references
        if '_entered' in vars(self.bbox_head):
            self.bbox_head._entered[:] = [
                layer.entered[:, layer.num_denoising :] for layer in layers
            ]
        return head_inputs

    def loss(self, batch_inputs: Tensor, batch_data_samples: list) -> dict:
        """Return the host's losses, and those of the exit heads under `exit.`."""
        if self.exit_heads is None:
            return self._supervised_loss(batch_inputs, batch_data_samples)
        # One context in a function: torch.compile cannot break a graph within two.
        with temporary_attribute(self, '_exit_inputs', []) as inputs:
            losses = self._supervised_loss(batch_inputs, batch_data_samples)
        exit_losses = self.exit_losses(*inputs, batch_data_samples)
        losses.update({f'exit.{key}': value for key, value in exit_losses.items()})
        return losses

    def _supervised_loss(self, *batch) -> dict:
        """Return the host's losses, with room for who entered if the head asks it."""
        supervise = {layer.settings.supervise for layer in self.routed_layers}
        if supervise != {'entering'}:
            return super().loss(*batch)
        with temporary_attribute(self.bbox_head, '_entered', []):
            return super().loss(*batch)

    def exit_losses(
        self,
        traces: list[RoutingTrace],
        references: Tensor | list[Tensor],
        batch_data_samples: list,
    ) -> dict[str, Tensor]:
        """Return what exit heads learn, and what routers learn by them."""
        objects = (
            [sample.gt_instances for sample in batch_data_samples],
            [sample.metainfo for sample in batch_data_samples],
        )
        # `DETRHead`'s own: the Hungarian losses of each layer, nothing else.
        learn = partial(hungarian_losses, self.exit_heads.heads[0])
        if self.routed_layers[0].settings.gradient == 'exit_head':
            queries = self.exit_heads.scored_queries(traces)
            return learn(*self.exit_heads(queries, references), *objects)
        before = self.exit_heads([trace.before for trace in traces], references)
        after = self.exit_heads([trace.after for trace in traces], references)
        losses = learn(*after, *objects)
        losses.update({f'before.{k}': v for k, v in learn(*before, *objects).items()})
        router = benefit_losses(
            self.bbox_head.assigner, traces, before, after, pad_ground_truth(*objects)
        )
        losses.update({f'd{layer}.loss_router': x for layer, x in enumerate(router)})
        return losses


def without_denoising(
    references: Tensor | list[Tensor], num_denoising: int
) -> Tensor | list[Tensor]:
    """Return the matching queries' references, as targets of no gradient.

    Exit heads are there to teach the routers of their layer (Sec. 4.1), not the boxes
    that the layer starts from.
    """
    if isinstance(references, Tensor):
        return references.detach()  # hosts that hand a tensor have no denoising
    return [reference[:, num_denoising:].detach() for reference in references]
