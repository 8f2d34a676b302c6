"""A detector from pixels to detections, as one module without data samples."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from mmdet.models.detectors import DDQDETR
from mmdet.models.detectors.base_detr import DetectionTransformer
from torch import Tensor, nn

from ..errors import ConfigError
from ..masks.detector_mixin import MaskInputs
from ..temporary_attribute import temporary_attribute
from .decisions import deciding
from .tracing import Recordable, size_tensor

OUTPUTS = ('boxes', 'scores', 'labels')


class DetectionGraph(nn.Module):
    """A detector of mmdet, for images of one size without padding.

    Args:
        detector: In eval mode, on the CPU.

    Attributes:
        kinds: Of the decisions that it makes, in their order; known once it has run.

    Shapes:
        images: (bs, 3, h, w) uint8, RGB
        boxes: (bs, n, 4), x1, y1, x2, y2 in pixels of `images`, best score first
        scores: (bs, n), 0 to 1
        labels: (bs, n) int64
        masks: (bs, n, h / 4, w / 4) logits, with a mask branch only

    Raises:
        ConfigError: If something in it cannot be recorded.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        prepare(detector)
        self.detector = detector
        self.kinds: list[str] = []
        preprocessor = detector.data_preprocessor
        self.flips = not preprocessor._channel_conversion  # it was taught BGR
        self.normalizes = preprocessor._enable_normalize

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it returns, but for decisions."""
        has_masks = getattr(self.detector, 'mask_branch', None) is not None
        return (*OUTPUTS, 'masks') if has_masks else OUTPUTS

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return detections, then the decisions that led to them.

        For an exporter, the detector being `traceable` meanwhile.
        """
        with Recordable(), deciding(self.detector) as decisions:
            detections = self.detect(images)
        self.kinds = [kind for kind, _ in decisions.made]
        return *detections, *(made for _, made in decisions.made)

    def detect(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return boxes, scores and labels, and masks if there are any."""
        detector = self.detector
        height, width = images.shape[2:]
        pixels = images.flip(1).float() if self.flips else images.float()
        if self.normalizes:
            preprocessor = detector.data_preprocessor
            pixels = (pixels - preprocessor.mean) / preprocessor.std
        # As if there were one image, whatever their number: they are of one size.
        shape = (height, width)
        sample = SimpleNamespace(
            batch_input_shape=shape, img_shape=shape, metainfo=dict(img_shape=shape)
        )
        kept = MaskInputs() if 'masks' in self.outputs else None
        with temporary_attribute(detector, '_mask_inputs', kept):
            features = detector.extract_feat(pixels)
            head_inputs = detector.forward_transformer(features, [sample])
        for layer in getattr(detector, 'routed_layers', ()):
            layer.entered = None  # no tensor of a graph may stay on a module
        logits, boxes = (found[-1] for found in detector.bbox_head(**head_inputs)[:2])
        scores, labels, queries = self.select(logits)
        boxes = boxes.gather(1, queries.unsqueeze(2).expand(-1, -1, 4))
        center, size = boxes.split(2, 2)
        boxes = torch.cat((center - size / 2, center + size / 2), 2).clamp(0, 1)
        boxes = boxes * size_tensor((width, height, width, height))
        if kept is None:
            return boxes, scores, labels
        states = kept.hidden_states[-1]
        index = queries.unsqueeze(2).expand(-1, -1, states.shape[2])
        masks = detector.mask_branch(
            states.gather(1, index), detector._pixels(kept, [sample])
        )
        return boxes, scores, labels, masks

    def select(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores, labels and queries of the best detections, as mmdet's heads.

        Shapes:
            logits: (bs, nq, classes); returns: (bs, n) each
        """
        head = self.detector.bbox_head
        number = head.test_cfg.get('max_per_img', logits.shape[1])
        if head.loss_cls.use_sigmoid:
            scores, index = logits.sigmoid().flatten(1).topk(number)
            return scores, index % head.num_classes, index // head.num_classes
        scores, labels = F.softmax(logits, -1)[..., :-1].max(-1)
        scores, queries = scores.topk(number)
        return scores, labels.gather(1, queries), queries


def prepare(detector: nn.Module) -> None:
    """Refuse what no graph can hold; let routing run with shapes that stay the same.

    Raises:
        ConfigError: If there is something.
    """
    name = type(detector).__name__
    if not isinstance(detector, DetectionTransformer) or isinstance(detector, DDQDETR):
        raise ConfigError(
            f'model.type is {name}, which cannot be exported: only DETRs whose queries '
            'are as many in each image can (DINO, Deformable, DAB, Conditional).'
        )
    divisor = getattr(detector.data_preprocessor, 'pad_size_divisor', 1)
    if divisor != 1:
        raise ConfigError(
            f'model.data_preprocessor.pad_size_divisor is {divisor}, and an exported '
            'model sees no padding: set it to 1 (--cfg-options '
            'model.data_preprocessor.pad_size_divisor=1).'
        )
    layers = getattr(detector, 'routed_layers', ())
    if not layers:
        return
    settings = layers[0].settings
    if settings.regroup == 'concat':
        raise ConfigError(
            "query_routing.regroup is 'concat', which cannot be exported: queries then "
            "change their places in each layer; set it to 'scatter'."
        )
    # Without a capacity, how many enter would be the size of a tensor.
    executor = 'dense' if settings.slots is None else 'gather'
    detector.change_routing(executor=executor)
