"""Bounds the denoising queries of images with very many objects, as an option.

mmdet makes two denoising queries of every object, however many there are: 2000 of a
thousand, which all look at each other.
"""

import torch
from mmdet.models.detectors import DINO
from mmdet.structures import DetDataSample
from torch import Tensor

from ..errors import ConfigError, check_number
from ..matching import BatchedDINOLossesMixin, objects_at


class DenoisedObjectsMixin:
    """Adds `denoised_objects` to a detector of the DINO family.

    Args:
        denoised_objects: Most objects of an image that denoising queries are made of,
            drawn anew in each step where there are more; all are matched as ever. None
            is the host, bit for bit. Without effect where nothing is denoised.

    Raises:
        ConfigError: If it is no number of objects, or the head is not ours.
    """

    def __init__(
        self: DINO, *args, denoised_objects: int | None = None, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        self.denoised_objects = denoised_objects
        if denoised_objects is None:
            return
        hint = 'None is all of them'
        check_number('denoised_objects', denoised_objects, 1, whole=True, hint=hint)
        if not isinstance(self.bbox_head, BatchedDINOLossesMixin):
            raise ConfigError(
                "denoised_objects needs bbox_head.type='QualityAwareDINOHead' or that "
                f'of another host, and it is {type(self.bbox_head).__name__}.'
            )

    def pre_decoder(
        self: DINO, *args, batch_data_samples: list | None = None, **kwargs
    ) -> tuple[dict, dict]:
        """Run the host's on the drawn objects; leave in `dn_meta` which they are."""
        drawn = None
        if self.training and self.denoised_objects is not None:
            objects = [sample.gt_instances for sample in batch_data_samples]
            drawn = [draw(len(o), self.denoised_objects) for o in objects]
            batch_data_samples = [
                DetDataSample(
                    metainfo=sample.metainfo, gt_instances=objects_at(o, index)
                )
                for sample, o, index in zip(
                    batch_data_samples, objects, drawn, strict=True
                )
            ]
        decoder_inputs, head_inputs = super().pre_decoder(
            *args, batch_data_samples=batch_data_samples, **kwargs
        )
        if drawn and head_inputs['dn_meta']:
            head_inputs['dn_meta']['objects'] = drawn
        return decoder_inputs, head_inputs


def draw(number: int, most: int) -> Tensor | slice:
    """Return which objects are denoised; without a random number if it is all."""
    return torch.randperm(number)[:most] if number > most else slice(None)
