"""One run of a model over its images, for all analyses that only look on.

An observer has `images`, the positions of the images that it wants (None: all), and
`see(batch)`, which takes a `SeenBatch`.
"""

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from mmdet.structures import SampleList
from rich.progress import track
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from ..errors import ConfigError
from ..temporary_attribute import temporary_attribute
from .listening import Heard, listening
from .matching import MatchedBatch, match
from .trained_detector import TrainedModel, boxes_follow_resize


@dataclass
class SeenBatch:
    """A batch, what the detector makes of it, and how it came to it.

    Attributes:
        samples: Predictions beside the ground truth, as evaluators take them.
        heard: What the detector said on the way.
        detector: Who said it.
        dataset: Where the images are from.
        raw: What the data loader gave.
        images: Positions in the data set.
        again: Predicts once more, for who changes the decoder meanwhile; what comes
            before the decoder does not run again.
    """

    samples: SampleList
    heard: Heard
    detector: nn.Module
    dataset: Dataset
    raw: dict[str, Any] | None = None
    images: Sequence[int] = ()
    again: Callable[[], SampleList] | None = None

    @cached_property
    def matched(self) -> MatchedBatch:
        """Queries of the last layer with their objects; needs `require_matching`."""
        resized = boxes_follow_resize(self.dataset)
        logits, boxes = self.heard.logits.float(), self.heard.boxes.float()
        head = self.detector.bbox_head
        return match(head, logits, boxes, self.samples, resized)


class Observer(Protocol):
    """Looks on while a model runs over its images."""

    images: Sequence[int] | None

    def see(self, batch: SeenBatch) -> None:
        """Take note of a batch."""


@torch.no_grad()
def one_pass(model: TrainedModel, observers: Sequence[Observer]) -> None:
    """Run a model over its images once, and show each observer those that it wants.

    A batch may hold images that an observer did not ask for.

    Raises:
        ConfigError: There are no images, or the pipeline loads no ground truth.
    """
    if not observers:
        return
    detector = model.detector
    wanted = [None if o.images is None else set(o.images) for o in observers]
    dataset = model.dataloader.dataset
    positions = range(len(dataset))
    if None not in wanted:
        positions = sorted(set().union(*wanted))
    dataloader = _in_order(model.dataloader, positions)
    seen = 0
    with listening(detector) as heard:
        doing = f'looking at the images with {model.name}'
        for raw in track(_readable(dataloader), doing, total=len(dataloader)):
            inputs = detector.data_preprocessor(raw, False)
            with _decoding_alone_again(detector):

                def predict(inputs: dict = inputs) -> SampleList:
                    samples = [copy.copy(s) for s in inputs['data_samples']]
                    inputs = dict(inputs, data_samples=samples)
                    return detector(**inputs, mode='predict')

                samples = predict()
                images = positions[seen : seen + len(samples)]
                seen_by = copy.copy(heard), detector, dataset
                batch = SeenBatch(samples, *seen_by, raw, images, predict)
                for observer, wants in zip(observers, wanted, strict=True):
                    if wants is None or wants & set(images):
                        observer.see(batch)
            seen += len(samples)
    if not seen:
        raise ConfigError('the data loader has no images; mend its ann_file.')


def spread(number: int, total: int) -> list[int]:
    """Return positions of images spread evenly over a data set, at most `number`."""
    number = min(number, total)
    places = np.linspace(0, total - 1, number).round()
    return places.astype(int).tolist()


def _in_order(dataloader: DataLoader, positions: Sequence[int]) -> DataLoader:
    """Return a loader of some images in this order, otherwise like another."""
    return DataLoader(
        Subset(dataloader.dataset, positions),
        # A sampler of whole batches leaves the loader itself without a size.
        batch_size=dataloader.batch_size or dataloader.batch_sampler.batch_size,
        collate_fn=dataloader.collate_fn,
        num_workers=dataloader.num_workers,
    )


def _readable(dataloader: DataLoader) -> Iterator[dict[str, Any]]:
    """Yield the batches; an image that cannot be read is told.

    Raises:
        ConfigError: There is one.
    """
    try:
        yield from dataloader
    except (AssertionError, OSError) as error:  # mmcv asserts
        found = re.search('(failed to load image|No such file).*', str(error))
        if found is None:
            raise
        raise ConfigError(f'an image cannot be read: {found[0]}.') from error


@contextmanager
def _decoding_alone_again(detector: nn.Module) -> Iterator[None]:
    """Keep what backbone, encoder and query selection make of a batch: most work."""
    kept = [(detector.backbone, 'forward')]
    names = ('forward_encoder', 'pre_decoder')
    kept += [(detector, name) for name in names if hasattr(detector, name)]
    with ExitStack() as stack:
        for owner, name in kept:
            once = _once(getattr(owner, name))
            stack.enter_context(temporary_attribute(owner, name, once))
        yield


def _once(function: Callable) -> Callable:
    """Return a function that runs on its first call and then repeats the answer."""
    answers = []

    def answer(*args, **kwargs):
        if not answers:
            answers.append(function(*args, **kwargs))
        return _with_own_dicts(answers[0])

    return answer


def _with_own_dicts(answer: Any) -> Any:
    """Copy dictionaries: whoever gets them adds to them."""
    if isinstance(answer, tuple):
        return tuple(map(_with_own_dicts, answer))
    return dict(answer) if isinstance(answer, dict) else answer
