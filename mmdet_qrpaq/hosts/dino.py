"""DINO as host. All switches off, it is mmdet's DINO."""

from mmdet.models.dense_heads import DINOHead
from mmdet.models.detectors import DINO
from mmdet.registry import MODELS

from ..masks import QueryKeepingDETRHead
from ..matching import BatchedDINOLossesMixin
from ..quality import QualityAwareDETRHead
from ..routing import EnteringDETRHead
from .denoised_objects import DenoisedObjectsMixin
from .methods import DINOMethods
from .select_first import SelectFirstMixin


class MendedDINO(DenoisedObjectsMixin, SelectFirstMixin, DINO):
    """mmdet's `DINO`, which also trains on several devices without any object.

    Takes `select_first` and `denoised_objects` (see the mixins).
    """

    def pre_decoder(self, *args, **kwargs) -> tuple[dict, dict]:
        """Run the host's; keep the label embedding in the graph without any object.

        The host means to do so, but compares the batch size with the number of
        queries; distributed training then stops at a batch without objects.
        """
        decoder_inputs, head_inputs = super().pre_decoder(*args, **kwargs)
        dn_meta = head_inputs.get('dn_meta')
        if dn_meta is not None and dn_meta['num_denoising_queries'] == 0:
            embedding = self.dn_query_generator.label_embedding.weight
            decoder_inputs['query'] = decoder_inputs['query'] + 0 * embedding.sum()
        return decoder_inputs, head_inputs


@MODELS.register_module()
class QRPaQDINO(DINOMethods, MendedDINO):
    """mmdet's `DINO` plus the methods.

    `query_routing`, `pattern_query`, `mask_branch` and `hybrid_branch`.
    """


@MODELS.register_module()
class QualityAwareDINOHead(
    BatchedDINOLossesMixin,
    DINOHead,
    QualityAwareDETRHead,
    EnteringDETRHead,
    QueryKeepingDETRHead,
):
    """mmdet's `DINOHead` plus `quality` (see `QualityAwareDETRHead`)."""
