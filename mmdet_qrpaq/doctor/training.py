"""What makes a training on sound data worse than it could be."""

from dataclasses import replace

import numpy as np
from mmengine.config import Config

from ..annotations import Annotations
from ..annotations.classes import shorten
from ..annotations.masks import broken_masks
from ..annotations.use import usable
from ..data.image_sizes import image_limits
from ..finding import Finding, Severity
from ..runtime.datasets import Place

FEW_OBJECTS = 10
# A class that training lacks is told as a warning if so many of the objects to be found
# are of one: a name written in two ways, or a split by class. Rare ones are a note.
SHARE_NOT_LEARNED = 0.05
DETECTIONS_COUNTED = 100  # an image, by COCO's AP
_SMALLEST = 1.0  # pixels
_TOLERANCE = 1.5  # between a learning rate's batch and a run's


def class_balance(places: dict[str, tuple[Annotations, Place]]) -> list[Finding]:
    """Compare what is learned with what is to be found, class by class.

    Args:
        places: The file and its use by split.
    """
    if 'train' not in places:
        return []
    learned = _count(*places['train'])
    findings = []
    few = [name for name, number in learned.items() if 0 < number < FEW_OBJECTS]
    if few:
        findings.append(
            Finding(
                Severity.NOTE,
                'few-objects',
                places['train'][1].path,
                f'of these classes there are fewer than {FEW_OBJECTS} objects: '
                f'{shorten(few)}',
                'add images of them, if they matter',
                len(few),
            )
        )
    for split in ('val', 'test'):
        if split not in places:
            continue
        found = _count(*places[split])
        unknown = [name for name in found if found[name] and not learned.get(name)]
        if not unknown:
            continue
        number = sum(found[name] for name in unknown)
        is_rare = number < SHARE_NOT_LEARNED * sum(found.values())
        findings.append(
            Finding(
                Severity.NOTE if is_rare else Severity.WARNING,
                'class-not-learned',
                places[split][1].path,
                f'{number} of its {sum(found.values())} objects are of classes without '
                f'any in training: {shorten(unknown)}',
                'split the images anew, or check how the names are written',
                len(unknown),
            )
        )
    return findings


def object_sizes(found: Annotations, place: Place, cfg: Config) -> list[Finding]:
    """Find objects that are gone once images are as large as the model sees them."""
    limits = image_limits(cfg)
    if limits is None:
        return []
    rows = np.flatnonzero(usable(found, place.use))
    sizes = found.sizes[found.image_rows[rows]]
    factors = np.fmin(limits[0] / sizes.max(1), limits[1] / sizes.min(1))
    sides = found.boxes[rows, 2:].min(1) * factors
    small = rows[sides < _SMALLEST]
    if not len(small):
        return []
    return [
        Finding(
            Severity.WARNING,
            'object-too-small',
            f'{found.path}, {found.object(small[0])}',
            f'{len(small)} of {len(rows)} objects are less than a pixel wide or high '
            f'in images of up to {limits[0]} x {limits[1]}',
            'choose a larger --image-size, or cut the images into tiles',
            len(small),
        )
    ]


def doubtful_masks(found: Annotations, place: Place) -> list[Finding]:
    """Find masks that a training with masks would refuse, where there are any."""
    if not any(found.read_segmentations()):
        return []
    told = []
    for finding in broken_masks(found, replace(place.use, masks=True)):
        fault = finding.what.rpartition(', and ')[0]
        what = f'{fault}, and a training with masks would refuse it'
        told.append(replace(finding, severity=Severity.WARNING, what=what))
    return told


def crowded_images(found: Annotations, place: Place) -> list[Finding]:
    """Find images with more objects than AP looks at."""
    counts = np.bincount(found.image_rows[usable(found, place.use)], minlength=1)
    full = int((counts > DETECTIONS_COUNTED).sum())
    if not full:
        return []
    return [
        Finding(
            Severity.NOTE,
            'more-objects-than-counted',
            f'{found.path}, {found.image(int(counts.argmax()))}',
            f'{full} images hold more than {DETECTIONS_COUNTED} objects, and AP counts '
            f'{DETECTIONS_COUNTED} detections an image',
            'compare it with others by the same rule only',
            full,
        )
    ]


def learning_rate(cfg: Config, devices: int) -> list[Finding]:
    """Compare the batch that a learning rate is for with that of a run here.

    Args:
        devices: Over which a mini-batch is spread.
    """
    scale = cfg.get('auto_scale_lr') or {}
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    base, loader = scale.get('base_batch_size'), cfg.get('train_dataloader') or {}
    each = loader.get('batch_size')
    if not base or not each or 'lr' not in optimizer or scale.get('enable'):
        return []
    batch = each * devices * cfg.optim_wrapper.get('accumulative_counts', 1)
    if base / _TOLERANCE <= batch <= base * _TOLERANCE:
        return []
    return [
        Finding(
            Severity.WARNING,
            'learning-rate',
            'optim_wrapper.optimizer.lr',
            f'{optimizer.lr:g} is for batches of {base}, and on {devices} '
            f'device{"s" * (devices > 1)} they are of {batch}',
            'train with --data or --auto-scale-lr, which change it, or set --lr',
        )
    ]


def _count(found: Annotations, place: Place) -> dict[str, int]:
    """Count the objects of each class that are learned or looked for."""
    rows = found.category_rows[usable(found, place.use)]
    counts = np.bincount(rows, minlength=len(found.names)).tolist()
    named = dict(zip(found.names, counts, strict=True))
    return {name: named.get(name, 0) for name in place.use.classes}
