"""One tiny data set in every layout: the same objects come out."""

import json
from pathlib import Path

import pytest
from mmdet.datasets import CocoDataset
from pycocotools.coco import COCO

import data_folders
from data_folders import CLASSES, WITH_VAL, WITHOUT_VAL, expected, objects
from mmdet_qrpaq.formats.folder import open_folder


def named(layouts):
    return pytest.mark.parametrize('lay_out', layouts, ids=lambda f: f.__name__)


@named(WITH_VAL)
def test_layouts_with_a_val_split(tmp_path, lay_out):
    lay_out(tmp_path / 'data')
    data = open_folder(tmp_path / 'data', tmp_path / 'out')
    assert data.layout.lower() == lay_out.__name__.partition('_')[0]
    for split in ('train', 'val'):
        assert objects(data, [split]) == expected(split)
    assert set(data.classes) == set(CLASSES)
    has_order = data.layout in ('COCO', 'YOLO')
    assert data.classes == (CLASSES if has_order else tuple(sorted(CLASSES)))
    assert ('test' in data.splits) == (lay_out is data_folders.yolo_roboflow)


@named(WITHOUT_VAL)
def test_layouts_without_a_val_split_are_divided_alike(tmp_path, lay_out):
    lay_out(tmp_path / 'data')
    data = open_folder(tmp_path / 'data', tmp_path / 'out')
    assert objects(data) == expected()
    val = {name for name, *_ in objects(data, ['val'])}
    assert val == {'four.png', 'five.png'}
    assert not val & {name for name, *_ in objects(data, ['train'])}
    (note,) = (note for note in data.notes if 'no val split' in note)
    assert '2 of 6 train images' in note


@named((*WITH_VAL, *WITHOUT_VAL))
def test_nothing_is_written_to_the_folder_and_pycocotools_reads_it(tmp_path, lay_out):
    folder = tmp_path / 'data'
    lay_out(folder)
    before = sorted(folder.rglob('*'))
    data = open_folder(folder, tmp_path / 'out')
    assert sorted(folder.rglob('*')) == before
    untouched = lay_out.__name__ in (
        'coco_mmdet',
        'coco_one_folder_of_images',
        'coco_2017',
    )
    assert (tmp_path / 'out').exists() != untouched
    for part in data.splits.values():
        if not untouched:
            document = json.loads(part.ann_file.read_text())
            assert document['licenses'] == [] and document['info']['digest']
            assert 0 not in {entry['id'] for entry in document['annotations']}
        assert COCO(part.ann_file).loadRes  # `loadRes` asks for info


@named([data_folders.yolo_roboflow, data_folders.voc_datumaro, data_folders.coco_cvat])
def test_mmdet_reads_the_same_objects(tmp_path, lay_out):
    lay_out(tmp_path / 'data')
    data = open_folder(tmp_path / 'data', tmp_path / 'out')
    found = set()
    for part in data.splits.values():
        if part == data.splits.get('test'):
            continue
        dataset = CocoDataset(
            ann_file=str(part.ann_file),
            data_prefix=dict(img=f'{part.images}/'),
            metainfo=dict(classes=data.classes),
            filter_cfg=None,
        )
        for sample in dataset:
            name = Path(sample['img_path']).name
            for entry in sample['instances']:
                left, top, right, bottom = entry['bbox']
                box = (left, top, right - left, bottom - top)
                label = data.classes[entry['bbox_label']]
                found.add((name, label, tuple(round(value, 2) for value in box)))
            if not sample['instances']:
                found.add((name, None, None))
    assert found == expected()
