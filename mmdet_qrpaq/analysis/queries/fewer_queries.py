"""A trained detector that keeps only some of its queries (QR Fig. 2b).

Works on every DETR of mmdet, with patterns or routing too: the host's own `pre_decoder`
runs, then its decoder gets the kept queries only. That is what a host built with fewer
queries would do, weights and all.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmdet.models.detectors.base_detr import DetectionTransformer
from torch import nn

from ...errors import ConfigError
from ...temporary_attribute import temporary_attribute

# What `pre_decoder` hands over with one entry per query, over all hosts. By name: a
# shape cannot tell 300 queries from 300 memory tokens.
BY_QUERY = ('query', 'query_pos', 'reference_points')


@contextmanager
def keep_queries(detector: nn.Module, kept: Sequence[int]) -> Iterator[None]:
    """Leave out all queries but these while inside; the model is in eval mode.

    Args:
        kept: Indices of queries; on two-stage hosts an index is a proposal's rank.

    Raises:
        ConfigError: The detector is no DETR.
    """
    require_detr(detector)
    pre_decoder, head = detector.pre_decoder, detector.bbox_head

    def pre_decoder_of_kept(*args, **kwargs) -> tuple[dict, dict]:
        decoder_inputs, head_inputs = pre_decoder(*args, **kwargs)
        for name in BY_QUERY:
            if (value := decoder_inputs.get(name)) is not None:
                index = torch.as_tensor(kept, device=value.device)
                decoder_inputs[name] = value.index_select(1, index)
        return decoder_inputs, head_inputs

    # Under softmax a query is one detection, else one of each class.
    is_sigmoid = getattr(head.loss_cls, 'use_sigmoid', False)
    most = len(kept) * (head.num_classes if is_sigmoid else 1)
    limit = min(head.test_cfg.get('max_per_img', len(kept)), most)
    test_cfg = {**head.test_cfg, 'max_per_img': limit}
    with (
        temporary_attribute(detector, 'pre_decoder', pre_decoder_of_kept),
        temporary_attribute(head, 'test_cfg', test_cfg),
    ):
        yield


def require_detr(detector: nn.Module) -> None:
    """Refuse what has no queries that stand for boxes alone.

    Raises:
        ConfigError: The detector is no DETR of mmdet, or it reads language.
    """
    is_detr = isinstance(detector, DetectionTransformer)
    if not is_detr or hasattr(detector, 'language_model'):
        raise ConfigError(
            f'this analysis needs a DETR of mmdet that looks at images alone, and '
            f'{type(detector).__name__} is none.'
        )
