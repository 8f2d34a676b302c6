"""Dataset configs against the files they name."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config
from PIL import Image

from mmdet_qrpaq.annotations import read_annotations
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.runtime.examining import use_sound_data
from mmdet_qrpaq.settings.together import leaf_datasets


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two images of one name in two folders, categories cat and dog."""
    names = ['a/1.jpg', 'b/1.jpg']
    for name in names:
        (tmp_path / 'images' / name).parent.mkdir(parents=True)
        Image.new('L', (9, 9)).save(tmp_path / 'images' / name)
    coco = dict(
        images=[
            dict(id=i, file_name=n, width=9, height=9) for i, n in enumerate(names)
        ],
        annotations=[dict(id=1, image_id=0, category_id=7, bbox=[0, 0, 1, 1], area=1)],
        categories=[dict(id=3, name='cat'), dict(id=7, name='dog')],
    )
    (tmp_path / 'all.json').write_text(json.dumps(coco))
    return tmp_path


def config(root: Path, classes: tuple | None = ('cat', 'dog')) -> dict:
    cfg = dict(
        type='CocoDataset',
        data_root=str(root),
        ann_file='all.json',
        data_prefix=dict(img='images/'),
    )
    return cfg if classes is None else dict(cfg, metainfo=dict(classes=classes))


def check(dataset: dict, num_classes: int) -> dict:
    """Look through a training's data; the settings it needs."""
    cfg = dict(
        model=dict(bbox_head=dict(num_classes=num_classes)),
        train_dataloader=dict(dataset=dataset),
    )
    return use_sound_data(Config(cfg), ('train',), Path('nowhere'))


def test_good_dataset(root: Path) -> None:
    assert check(config(root), 2) == {}
    found = read_annotations(str(root / 'all.json'))
    assert (found.names, len(found)) == (('cat', 'dog'), 1)


def test_subset_of_the_categories_is_allowed(root: Path) -> None:
    check(config(root, ('dog',)), 1)


@pytest.mark.parametrize(
    ('classes', 'num_classes', 'message'),
    [
        (
            ('cat', 'dog'),
            80,
            "is 80, but train_dataloader.dataset has 2 classes .'cat', 'dog'.",
        ),
        (('cat', 'cow', 'dog'), 3, "1 of its 3 classes .'cow'."),
        (None, 80, "78 of its 80 classes .'person'.*76|num_classes=2 instead of 80"),
        ((0, 1), 2, r"classes \(0, 1\) are not among .* \('cat', 'dog'\)"),
        (('dog'), 1, r"is the text 'dog'.*\('dog',\)"),
    ],
)
def test_classes(
    root: Path, classes: tuple | None, num_classes: int, message: str
) -> None:
    """`None`: the user forgot `metainfo` and gets COCO's 80 classes."""
    with pytest.raises(ConfigError, match=message):
        check(config(root, classes), num_classes)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(type='Foo'), "dataset.type: 'Foo' is not in the registry .*dataset;"),
        (dict(ann_fil='x.json'), 'dataset.ann_fil is unknown: .*BaseDataset'),
        (dict(type=None), 'data'),
    ],
)
def test_unknown_names(root: Path, changes: dict, message: str) -> None:
    cfg = {k: v for k, v in {**config(root), **changes}.items() if v is not None}
    with pytest.raises(ConfigError, match=message):
        check(cfg, 2)


def test_two_categories_of_one_name(root: Path) -> None:
    content = json.loads((root / 'all.json').read_text())
    content['categories'].append(dict(id=9, name='dog'))
    (root / 'all.json').write_text(json.dumps(content))
    with pytest.raises(ConfigError, match='several categories with the name dog'):
        check(config(root), 2)


def test_missing_image_in_a_sub_folder(root: Path) -> None:
    (root / 'images' / 'b' / '1.jpg').unlink()
    with pytest.raises(ConfigError, match=r'1 of the 2 images .*b/1\.jpg'):
        check(config(root), 2)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"images": [', 'not readable as JSON'),
        ('[]', 'not in the COCO format'),
        ('{"images": 0, "categories": 0}', 'not in the COCO format'),
        ('{"images": [], "annotations": []}', 'not in the COCO format .*categories'),
    ],
)
def test_annotation_file(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / 'broken.json'
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_annotations(str(path))


def test_wrappers_are_unwrapped() -> None:
    inner = [dict(type='CocoDataset', ann_file=name) for name in 'ab']
    nested = dict(
        type='RepeatDataset',
        dataset=dict(
            type='ConcatDataset',
            datasets=[inner[0], dict(type='ClassBalancedDataset', dataset=inner[1])],
        ),
    )
    assert list(leaf_datasets(nested, 'd')) == [
        ('d.dataset.datasets.0', inner[0]),
        ('d.dataset.datasets.1.dataset', inner[1]),
    ]
