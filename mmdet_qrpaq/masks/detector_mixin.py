"""Joins `MaskBranch` to a deformable DETR of mmdet.

Sits *above* the host class, and above a hybrid branch: it sees the queries that the
heads see. The head keeps what mmdet hides (`QueryKeepingDETRHead`); losses and masks
are made here, after the host's own.
"""

from dataclasses import dataclass

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from ..errors import ConfigError, check_free
from ..temporary_attribute import temporary_attribute
from .ground_truth import require_masks, without_masks
from .head_mixin import QueryKeepingDETRHead
from .pixel_embedding import STRIDE


@dataclass
class MaskInputs:
    """What a forward pass leaves for the masks.

    Shapes:
        feature: (bs, channels, h_4, w_4), the backbone's at stride 4
        level_size: (h, w) of the finest encoder level
        memory: (bs, num_tokens, dim)
        hidden_states: (num_layers, bs, nq, dim), of the matching queries
    """

    feature: Tensor | None = None
    level_size: tuple[int, int] | None = None
    memory: Tensor | None = None
    hidden_states: Tensor | None = None


class MaskBranchMixin:
    """Adds `mask_branch` to a detector (PaQ-DETR Sec. 4.6).

    Args:
        mask_branch: Config of a `MaskBranch`; None leaves the host as it is.
            `in_channels` and `embed_dims` are filled in. The backbone then also
            has to give its feature of stride 4 (`out_indices=(0, 1, 2, 3)`); the
            neck goes on taking the last ones.

    Raises:
        ConfigError: If host, backbone or head cannot serve it.
    """

    def __init__(self, *args, mask_branch: dict | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.mask_branch = None
        if mask_branch is None:
            return
        if not hasattr(self, 'num_feature_levels'):
            raise ConfigError(
                f'mask_branch needs fine encoder memory, and {type(self).__name__} has '
                'one coarse level: remove it, or take a deformable host such as '
                'QRPaQDeformableDETR.'
            )
        if not isinstance(self.bbox_head, QueryKeepingDETRHead):
            raise ConfigError(
                "mask_branch needs bbox_head.type='QualityAwareDINOHead' or that of "
                f'another host, and it is {type(self.bbox_head).__name__}.'
            )
        neck_channels = list(kwargs['neck']['in_channels'])
        self.num_neck_inputs = len(neck_channels)
        image_channels = kwargs['backbone'].get('in_channels', 3)
        of_detector = dict(
            in_channels=self._check_backbone(image_channels, neck_channels),
            embed_dims=self.embed_dims,
        )
        check_free('mask_branch', mask_branch, of_detector)
        self.mask_branch = MODELS.build(
            dict(type='MaskBranch') | mask_branch | of_detector
        )
        self.bbox_head.keeps_queries = True

    def _check_backbone(self, in_channels: int, neck_channels: list[int]) -> int:
        """Return the width of the backbone's first feature, whose stride must be 4."""
        side = 64
        shapes = probe(self.backbone, in_channels, side)
        stride = side // shapes[0][-1]
        if stride != STRIDE:
            raise ConfigError(
                f"mask_branch needs the backbone's feature of stride {STRIDE}, and its "
                f'first has stride {stride}: set backbone.out_indices=(0, 1, 2, 3), '
                'and leave neck.in_channels as it is.'
            )
        found = [shape[1] for shape in shapes[-len(neck_channels) :]]
        if found != neck_channels:
            raise ConfigError(
                f'neck.in_channels is {neck_channels}, and the last features of the '
                f'backbone have {found}: set neck.in_channels to that (mask_branch '
                'takes the first feature itself).'
            )
        return shapes[0][1]

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the levels of the neck; keep the feature of stride 4."""
        if self.mask_branch is None:
            return super().extract_feat(batch_inputs)
        features = self.backbone(batch_inputs)
        levels = self.neck(features[-self.num_neck_inputs :])
        if kept := vars(self).get('_mask_inputs'):
            kept.feature, kept.level_size = features[0], tuple(levels[0].shape[-2:])
        return levels

    def forward_decoder(self, *, memory: Tensor, **kwargs) -> dict:
        """Decode as the host does; keep memory and hidden states if masks need them."""
        outputs = super().forward_decoder(memory=memory, **kwargs)
        if kept := vars(self).get('_mask_inputs'):
            kept.memory = memory
            # Matching queries come last, after any denoising queries.
            kept.hidden_states = outputs['hidden_states'][:, :, -self.num_queries :]
        return outputs

    def _pixels(self, kept: MaskInputs, batch_data_samples: list) -> Tensor:
        shapes = [sample.metainfo['img_shape'] for sample in batch_data_samples]
        return self.mask_branch.pixel_embedding(
            kept.memory, kept.level_size, kept.feature, shapes
        )

    def loss(self, batch_inputs: Tensor, batch_data_samples: list) -> dict:
        """Return the host's losses, and `loss_mask` and `loss_dice` of each layer.

        Raises:
            ConfigError: If the objects have no masks.
        """
        if self.mask_branch is None:
            return super().loss(batch_inputs, batch_data_samples)
        objects = [sample.gt_instances for sample in batch_data_samples]
        require_masks(objects)
        with temporary_attribute(self, '_mask_inputs', MaskInputs()) as kept:
            plain = [without_masks(sample) for sample in batch_data_samples]
            losses = super().loss(batch_inputs, plain)
        mask_losses = self.mask_branch.loss(
            kept.hidden_states,
            self._pixels(kept, batch_data_samples),
            self.bbox_head.take_matches(),
            objects,
        )
        return losses | mask_losses

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: list, rescale: bool = True
    ) -> list:
        """Return the host's detections, each with its mask, (n, height, width) bool."""
        if self.mask_branch is None:
            return super().predict(batch_inputs, batch_data_samples, rescale)
        with temporary_attribute(self, '_mask_inputs', MaskInputs()) as kept:
            results = super().predict(batch_inputs, batch_data_samples, rescale)
        pixels = self._pixels(kept, results)
        for sample, states, map_ in zip(
            results, kept.hidden_states[-1], pixels, strict=True
        ):
            found = sample.pred_instances
            found.masks = self.mask_branch.predict(
                states[found.pop('queries')], map_, sample.metainfo, rescale
            )
        return results

    def _forward(self, batch_inputs: Tensor, batch_data_samples: list) -> tuple:
        """Return the host's outputs, then the mask logits, (bs, nq, h_4, w_4)."""
        if self.mask_branch is None:
            return super()._forward(batch_inputs, batch_data_samples)
        with temporary_attribute(self, '_mask_inputs', MaskInputs()) as kept:
            outputs = super()._forward(batch_inputs, batch_data_samples)
        pixels = self._pixels(kept, batch_data_samples)
        return (*outputs, self.mask_branch(kept.hidden_states[-1], pixels))


@torch.no_grad()
def probe(backbone: nn.Module, in_channels: int, side: int) -> list[torch.Size]:
    """Return the shapes (1, channels, h, w) that a backbone makes of a square image."""
    weight = next(backbone.parameters())
    # `train()` is not the inverse: a ResNet then freezes what it did not before.
    modes = [(module, module.training) for module in backbone.modules()]
    backbone.eval()  # statistics of norms stay as they are
    try:
        features = backbone(weight.new_zeros(1, in_channels, side, side))
    finally:
        for module, training in modes:
            module.training = training
    return [feature.shape for feature in features]
