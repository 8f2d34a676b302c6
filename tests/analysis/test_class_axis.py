"""Names of columns never lie on each other, however many there are."""

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure

from mmdet_qrpaq.analysis.class_axis import name_columns


@pytest.mark.parametrize('count', [2, 24, 25, 80, 100, 101, 1203])
def test_names_do_not_overlap(count):
    figure = Figure(figsize=(12, 4), layout='constrained')
    axes = figure.subplots()
    names = [f'class {number}' for number in range(count)]
    assert name_columns(axes, np.arange(count), names) == (count <= 24)
    axes.set_xlim(-0.7, count - 0.3)
    figure.canvas.draw()
    labels = axes.get_xticklabels()
    assert min(count, 50) <= len(labels) <= 100
    for place, label in zip(axes.get_xticks(), labels, strict=True):
        assert label.get_text() == names[int(place)]
    boxes = [label.get_window_extent() for label in labels]
    if count > 24:  # upright
        for left, right in itertools.pairwise(boxes):
            assert left.x1 <= right.x0
