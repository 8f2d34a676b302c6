"""Small, medium and large, as COCO has them, and how many of each a data set holds.

Sizes are those of the box's area in the stored image.
"""

import numpy as np
from pycocotools.cocoeval import Params
from torch.utils.data import Dataset

_COCO = Params(iouType='bbox')
# The first of COCO's ranges is 'all'; an area on a bound belongs to the larger size.
SIZES = tuple(_COCO.areaRngLbl[1:])
BOUNDS = tuple(low for low, _ in _COCO.areaRng[2:])


def object_counts(dataset: Dataset) -> dict:
    """Count the objects of a data set by size and class; crowd regions are none.

    Args:
        dataset: One of mmdet's, or several joined or wrapped.

    Returns:
        `num_images`, `num_objects`, `sizes` and `classes`.
    """
    names = dataset.metainfo['classes']
    objects = [
        instance
        for index in range(len(dataset))
        for instance in dataset.get_data_info(index)['instances']
        if not instance.get('ignore_flag', 0)
    ]
    labels = np.array([instance['bbox_label'] for instance in objects], int)
    boxes = np.array([instance['bbox'] for instance in objects]).reshape(-1, 4)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    by_class = np.bincount(labels, minlength=len(names))
    by_size = np.bincount(np.digitize(areas, BOUNDS), minlength=len(SIZES))
    return dict(
        num_images=len(dataset),
        num_objects=len(labels),
        sizes=dict(zip(SIZES, by_size.tolist(), strict=True)),
        classes=dict(zip(names, by_class.tolist(), strict=True)),
    )
