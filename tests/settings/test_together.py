"""Loaders without workers, and palettes for as many classes as there are."""

import pytest
from mmdet.datasets import CocoDataset
from mmdet.visualization import get_palette
from mmengine.config import Config

from check_each import check_each
from mmdet_qrpaq.settings.together import bring_together, more_colours

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.mark.parametrize('stage', ['train', 'val', 'test'])
def test_nothing_is_said_about_workers_that_are_not_there(stage):
    loader = dict(
        num_workers=0,
        persistent_workers=True,
        prefetch_factor=4,
        timeout=60,
        multiprocessing_context='fork',
    )
    cfg = Config({f'{stage}_dataloader': dict(loader, batch_size=2)})
    bring_together(cfg)
    assert cfg[f'{stage}_dataloader'] == dict(num_workers=0, batch_size=2)
    loader = dict(loader, num_workers=2)
    cfg = Config({f'{stage}_dataloader': dict(loader)})
    bring_together(cfg)
    assert cfg[f'{stage}_dataloader'] == loader


def palette_of(**dataset):
    """What mmdet would draw with."""
    wrapped = dict(type='RepeatDataset', times=2, dataset=dict(dataset))
    both = dict(type='ConcatDataset', datasets=[wrapped, dict(dataset)])
    cfg = Config(dict(val_dataloader=dict(num_workers=0, dataset=both)))
    bring_together(cfg)
    first, second = cfg.val_dataloader.dataset.datasets
    assert first.dataset == second
    return second.metainfo.get('palette')


def test_a_palette_shorter_than_the_classes_is_continued():
    names = tuple(f'part {number}' for number in range(12))
    metainfo = dict(classes=names, palette=[RED, BLUE])
    found = palette_of(type='CocoDataset', metainfo=metainfo)
    assert found[:2] == [RED, BLUE]
    assert len(found) == len(set(found)) == 12
    assert get_palette(found, 12) == found
    assert all(type(x) is int and 0 <= x <= 255 for colour in found for x in colour)
    # mmdet's 80 colours for the 81 classes of someone else.
    names = tuple(f'part {number}' for number in range(81))
    found = palette_of(type='CocoDataset', metainfo=dict(classes=names))
    assert found[:80] == CocoDataset.METAINFO['palette'] and len(found) == 81


def test_a_palette_is_a_list_unless_it_is_one_colour():
    names = ('a', 'b', 'c')

    def check(palette, expected):
        found = palette_of(
            type='CocoDataset', metainfo=dict(classes=names, palette=palette)
        )
        assert found == expected and get_palette(found, 3) == expected_of(expected)

    def expected_of(palette):
        return [palette] * 3 if isinstance(palette, tuple) else palette

    green = (0, 255, 0)
    check_each(
        check,
        [
            (RED, RED),
            (list(RED), RED),
            ((RED, BLUE, green), [RED, BLUE, green]),
            ([list(RED), list(BLUE), list(green)], [RED, BLUE, green]),
        ],
    )
    # The 80 classes of COCO, which the config does not name.
    found = palette_of(type='CocoDataset', metainfo=dict(palette=(RED, BLUE)))
    assert found[:2] == [RED, BLUE] and len(get_palette(found, 80)) == 80


def test_a_palette_that_is_long_enough_is_left_alone():
    for metainfo in (
        dict(classes=('a', 'b'), palette=[RED, BLUE]),
        dict(classes=('a',), palette=[RED, BLUE]),
        dict(classes=('a', 'b'), palette='random'),
        dict(classes=('a', 'b')),
        dict(),
    ):
        found = palette_of(type='CocoDataset', metainfo=metainfo)
        assert found == metainfo.get('palette')


def test_new_colours_differ_from_the_given_ones():
    made = more_colours([], 3)
    assert more_colours(made[1:], 3)[:2] == made[1:]
    assert len(set(more_colours(made[1:], 200))) == 200
