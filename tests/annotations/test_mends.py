"""Mended copies, read by upstream's own classes."""

import contextlib
import importlib.metadata
import io
import json
from pathlib import Path

import pytest
from mmdet.datasets import CocoDataset
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from check_each import check_each
from coco_file import sound, use, write
from mmdet_qrpaq.annotations import find_mends, read_annotations, write_mended
from mmdet_qrpaq.errors import ConfigError

JUDGED = dict(learned=False, judged=True)


def mended(folder, coco, **settings) -> tuple[list[str], dict]:
    """The kinds of mends, and the copy."""
    path = write(folder, coco)
    before = (folder / 'a.json').read_bytes()
    mends = find_mends(read_annotations(path), use(folder, **settings))
    out = folder / 'new' / 'copy.json'
    write_mended(path, mends, out)
    assert (folder / 'a.json').read_bytes() == before
    assert [file.name for file in out.parent.iterdir()] == ['copy.json']
    return [mend.kind for mend in mends], json.loads(out.read_text())


def perfect_ap(coco) -> float:
    """AP of detections that are the objects, by pycocotools."""
    found = [
        dict(image_id=a['image_id'], category_id=a['category_id'], bbox=a['bbox'])
        | dict(score=0.9)
        for a in coco['annotations']
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = json.loads(json.dumps(coco))
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(found), 'bbox')
        run.evaluate()
        run.accumulate()
        run.summarize()
    return float(run.stats[0])


def test_a_sound_file_needs_no_copy(tmp_path):
    found = read_annotations(write(tmp_path, sound()))
    for settings in (dict(masks=True), dict(masks=True, **JUDGED)):
        assert find_mends(found, use(tmp_path, **settings)) == []


def test_annotation_ids_are_numbered(tmp_path):
    def check(ids, fault, learned):
        coco = sound()
        for entry, number in zip(coco['annotations'], ids, strict=True):
            entry['id'] = number
        kinds, copy = mended(tmp_path, coco, **JUDGED)
        assert kinds == ['ids']
        assert [entry['id'] for entry in copy['annotations']] == [1, 2, 3]
        found = read_annotations(write(tmp_path, coco))
        assert fault in find_mends(found, use(tmp_path, **JUDGED))[0].fault
        assert bool(find_mends(found, use(tmp_path))) == learned

    check_each(
        check,
        [
            ((0, 1, 2), 'id 0, which pycocotools counts as never found', False),
            ((5, 6, 5), 'annotation ids repeat, the first is 5', True),
            (('x', 'y', 'z'), 'annotation ids are text', False),
            ((1, 2, None), '1 annotations have no id', True),
            ((1, 2, 2.5), 'annotation ids are no whole numbers', True),
            (([1], 2, 3), 'annotation ids are no whole numbers', True),
        ],
    )


def test_an_object_with_id_0_is_found_once_it_is_mended(tmp_path):
    coco = sound()
    for number, entry in enumerate(coco['annotations']):
        entry['id'] = number
    assert perfect_ap(coco) < 0.9
    assert perfect_ap(mended(tmp_path, coco, **JUDGED)[1]) == pytest.approx(1)


def test_areas_are_those_of_masks_or_else_of_boxes(tmp_path):
    coco = sound()
    for entry in coco['annotations']:
        del entry['area']
    triangle = [[0, 0, 40, 0, 40, 40]]
    coco['annotations'][0]['segmentation'] = triangle
    coco['annotations'][1]['segmentation'] = []
    kinds, copy = mended(tmp_path, coco)
    assert kinds == ['area']
    first, *rest = (entry['area'] for entry in copy['annotations'])
    assert first == pytest.approx(40 * 40 / 2, abs=40)  # pixels on its slope
    assert rest == [305, 64 * 48]
    assert copy['annotations'][0]['segmentation'] == triangle


def test_iscrowd_is_0_where_pycocotools_asks_for_it(tmp_path):
    coco = sound()
    del coco['annotations'][0]['iscrowd']
    coco['annotations'][1]['iscrowd'] = None
    assert mended(tmp_path, coco)[0] == []
    kinds, copy = mended(tmp_path, coco, **JUDGED)
    assert kinds == ['iscrowd']
    assert [entry['iscrowd'] for entry in copy['annotations']] == [0, 0, 0]
    assert perfect_ap(copy) == pytest.approx(1)


def test_sizes_are_those_of_the_image_as_it_is_shown(tmp_path):
    coco = sound()
    for entry in coco['images']:
        del entry['width']
    path = write(tmp_path, coco)
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.new('L', (48, 64)).save(tmp_path / 'images' / 'b.png', exif=exif)
    mends = find_mends(read_annotations(path), use(tmp_path))
    write_mended(path, mends, tmp_path / 'copy.json')
    copy = json.loads((tmp_path / 'copy.json').read_text())
    assert [(i['width'], i['height']) for i in copy['images']] == [(100, 80), (64, 48)]


def test_labels_get_their_names_whatever_the_order_of_the_file(tmp_path):
    coco = sound()
    coco['categories'] = [
        dict(id=9, name='washer', supercategory='part'),
        *reversed(coco['categories']),
    ]
    kinds, copy = mended(tmp_path, coco, classes=('bolt', 'nut'))
    assert kinds == ['order']
    assert [entry['id'] for entry in copy['categories']] == [3, 7, 9]
    assert copy['categories'][2]['supercategory'] == 'part'
    labels = {}
    for name in ('a.json', 'new/copy.json'):
        data = CocoDataset(
            ann_file=str(tmp_path / name),
            data_prefix=dict(img=''),
            metainfo=dict(classes=('bolt', 'nut')),
            pipeline=[],
        )
        labels[name] = [i['bbox_label'] for i in data[0]['instances']]
    # The first is a bolt, the second a nut.
    assert labels == {'a.json': [1, 0], 'new/copy.json': [0, 1]}


def test_info_is_there_for_versions_that_need_it(tmp_path, monkeypatch):
    coco = sound()
    del coco['info']
    assert mended(tmp_path, coco, **JUDGED)[0] == []
    monkeypatch.setattr(importlib.metadata, 'version', lambda name: '2.0.10')
    assert mended(tmp_path, coco)[0] == []
    kinds, copy = mended(tmp_path, coco, **JUDGED)
    assert kinds == ['info']
    assert (copy['info'], copy['licenses']) == ({}, [])


def test_what_is_sound_is_copied_as_it_is(tmp_path):
    coco = sound()
    coco['annotations'][0] |= dict(id=0, score=0.123456789012345678, keypoints=[1, 2])
    coco['annotations'][1]['note'] = 'Schraube M8 \u00d7 40 "ja"'
    coco['images'][0]['coco_url'] = 'http://x/y?z=1'
    coco['licenses'], coco['own'] = [dict(id=1)], dict(a=[1, None, 1e-7])
    _, copy = mended(tmp_path, coco, **JUDGED)
    for number, entry in enumerate(coco['annotations'], 1):
        entry['id'] = number
    assert copy == coco


def test_python_s_nan_in_a_key_that_nobody_reads_does_not_stop_a_copy(tmp_path):
    coco = sound()
    coco['annotations'][0] |= dict(id=0, score=float('nan'))
    kinds, copy = mended(tmp_path, coco, **JUDGED)
    assert kinds == ['ids']
    assert copy['annotations'][0]['score'] == 'NaN'


def test_a_byte_order_mark_is_left_out_of_a_copy(tmp_path):
    path = Path(write(tmp_path, sound()))
    path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes())
    with pytest.raises(json.JSONDecodeError, match='BOM'):
        COCO(str(path))
    (mend,) = find_mends(read_annotations(str(path)), use(tmp_path, masks=True))
    assert mend.kind == 'mark'
    write_mended(str(path), [mend], tmp_path / 'copy.json')
    with contextlib.redirect_stdout(io.StringIO()):
        assert COCO(str(tmp_path / 'copy.json')).dataset == sound()


def test_a_copy_that_cannot_be_written_is_one_sentence(tmp_path):
    path = write(tmp_path, sound())
    (tmp_path / 'taken').touch()
    with pytest.raises(ConfigError, match='cannot be written .*choose another'):
        write_mended(path, [], tmp_path / 'taken' / 'copy.json')
