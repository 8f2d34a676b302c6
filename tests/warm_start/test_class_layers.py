"""Class layers by name: which rows are kept, cut and new."""

import pytest
import torch

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.warm_start.class_layers import classes_in, match_classes
from tiny_hosts import build_host

HEADS = ('bbox_head.fc_cls', 'bbox_head.cls_branches.1', 'decoder.other')


def layers(*rows: float) -> dict[str, torch.Tensor]:
    """Two class layers of a head, and a layer that happens to be as large."""
    column = torch.tensor(rows)
    return {
        f'{name}.{part}': column[:, None].repeat(1, 2) if part == 'weight' else column
        for name in HEADS
        for part in ('weight', 'bias')
    }


def test_rows_by_hand():
    """Of cat, dog and cow to bird, cow and cat."""
    weights = layers(1, 2, 3)
    names, wanted = ('cat', 'dog', 'cow'), ('bird', 'cow', 'cat')
    told = match_classes(weights, layers(7, 8, 9), names, wanted)
    assert told == "classes: 2 kept, 1 cut, 1 new ('bird')"
    for name in HEADS:
        rows = [7.0, 3, 1] if name != 'decoder.other' else [1.0, 2, 3]
        assert weights[f'{name}.bias'].tolist() == rows
        assert weights[f'{name}.weight'].tolist() == [[row] * 2 for row in rows]


@pytest.mark.parametrize(
    ('wanted', 'rows', 'told'),
    [
        (('cat', 'dog', 'cow'), [1, 2, 3], '3 kept, 0 cut, 0 new'),
        (('COW', 'Dog'), [3, 2], '2 kept, 1 cut, 0 new'),
        (('dog',), [2], '1 kept, 2 cut, 0 new'),
        (('a', 'b', 'c', 'd'), [7] * 4, '0 kept, 3 cut, 4 new'),
    ],
)
def test_other_numbers_of_classes(wanted, rows, told):
    weights, fresh = layers(1, 2, 3), layers(*[7] * len(wanted))
    assert told in match_classes(weights, fresh, ('cat', 'dog', 'cow'), wanted)
    assert weights['bbox_head.fc_cls.bias'].tolist() == rows


def test_without_names_they_stay_if_their_number_does():
    weights = layers(1, 2, 3)
    told = match_classes(weights, layers(7, 8, 9), None, ('a', 'b', 'c'))
    assert told == 'classes: 3 kept by their order, as no names tell'
    assert weights['bbox_head.fc_cls.bias'].tolist() == [1, 2, 3]
    words = 'the checkpoint names no classes, and their number changes from 3 to 2'
    with pytest.raises(ConfigError, match=words):
        match_classes(weights, layers(7, 8), None, ('a', 'b'))
    with pytest.raises(ConfigError, match='the config names no classes'):
        match_classes(weights, layers(7, 8), ('a', 'b', 'c'), None)


@pytest.mark.parametrize(
    ('names', 'wanted', 'words'),
    [
        (('a', 'b'), ('a', 'b'), 'the checkpoint has .* 2 are different.* for 3; name'),
        (('a', 'a', 'b'), ('a', 'b'), '2 are different, and class layers for 3'),
        (('a', 'b', 'c'), ('a',), 'the config has .* 1 are different.* for 2; set'),
    ],
)
def test_names_that_do_not_fit_the_layers_are_refused(names, wanted, words):
    with pytest.raises(ConfigError, match=words):
        match_classes(layers(1, 2, 3), layers(7, 8), names, wanted)


@pytest.mark.parametrize(
    ('meta', 'names'),
    [
        (dict(dataset_meta=dict(classes=('a', 'b'))), ('a', 'b')),
        (dict(dataset_meta=dict(CLASSES=['a', 'b'])), ('a', 'b')),
        (dict(CLASSES=('a', 'b')), ('a', 'b')),
        (dict(), None),
        (None, None),
    ],
)
def test_where_a_checkpoint_names_them(meta, names):
    assert classes_in(dict(meta=meta)) == names


def test_every_layer_with_a_row_a_class_is_found(host):
    """Those that change their size with the number of classes."""
    shapes = {key: x.shape for key, x in build_host(host).state_dict().items()}
    sized = {key for key, shape in shapes.items() if shape and shape[0] == 3}
    weights = {key: torch.zeros(shape) for key, shape in shapes.items()}
    fresh = {key: torch.ones(4, *shapes[key][1:]) for key in sized}
    match_classes(weights, weights | fresh, 'abc', 'abcd')
    found = {key for key, x in weights.items() if x.shape[:1] == (4,) and x.any()}
    assert found and found == sized
