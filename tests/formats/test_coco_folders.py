"""Folders of COCO files: what is found, what is written anew, what is refused."""

import json
import os

import pytest

from check_each import check_each
from data_folders import (
    CLASSES,
    coco,
    coco_cvat,
    coco_mmdet,
    coco_roboflow,
    expected,
    image,
    labelme_beside,
    objects,
    put,
    voc_beside,
    write,
    yolo_ultralytics,
)
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.formats.folder import open_folder
from mmdet_qrpaq.formats.splits import choose_val, split_named, split_of_folder


def change(path, **changes):
    document = json.loads(path.read_text())
    for key, value in changes.items():
        for entry in document['annotations']:
            entry[key] = value
    put(path, document)


def test_files_that_need_no_change_are_used_themselves(folder, opened):
    coco_mmdet(folder)
    data = opened()
    assert data.splits['val'].ann_file == folder / 'annotations/instances_val.json'
    assert data.splits['val'].images == folder / 'val'
    assert 'val: annotations/instances_val.json, images in val.' in data.notes


def test_images_of_one_name_in_both_splits(folder, opened):
    for split in ('train', 'val'):
        image(folder / split / '1.png', (10, 10))
        document = coco(split)
        document['images'] = [dict(id=1, file_name='1.png', width=10, height=10)]
        put(folder / f'{split}.json', document)
    splits = opened().splits
    assert [splits[s].images.name for s in ('train', 'val')] == ['train', 'val']


def test_names_below_sub_folders(folder, opened):
    """As Cityscapes, whose names begin with the town."""
    for split in ('train', 'val'):
        image(folder / 'leftImg8bit' / split / 'bonn/1.png', (10, 10))
        document = coco(split)
        document['images'] = [dict(id=1, file_name='bonn/1.png', width=9, height=9)]
        name = f'instancesonly_filtered_gtFine_{split}.json'
        put(folder / 'annotations' / name, document)
    assert opened().splits['val'].images == folder / 'leftImg8bit/val'


def test_a_class_that_only_groups_others_is_left_out(folder, opened):
    coco_roboflow(folder)
    data = opened()
    assert data.classes == CLASSES
    assert 'The class things has no object and only groups others; left out.' in (
        data.notes
    )
    path = folder / 'valid/_annotations.coco.json'
    change(path, category_id=0)
    assert opened().classes == ('things', *CLASSES)


def test_a_group_that_has_no_name_groups_nothing(folder, opened):
    coco_mmdet(folder)
    path = folder / 'annotations/instances_train.json'
    document = json.loads(path.read_text())
    for category in document['categories']:
        category['supercategory'] = ['things']
    put(path, document)
    assert opened().classes == CLASSES


def test_the_folder_itself_holds_the_images(folder, opened):
    for split in ('train', 'val'):
        write(folder, '.', '', 'none', split)
        put(folder / f'{split}.json', coco(split))
    assert 'val: val.json, images in the folder itself.' in opened().notes


def test_classes_in_another_order_keep_their_names(folder, opened):
    coco_mmdet(folder)
    other = ('7', 'washer', 'hex bolt', 'nut')
    put(folder / 'annotations/instances_val.json', coco('val', other))
    data = opened()
    assert data.classes == (*CLASSES, 'washer')
    assert objects(data) == expected()
    assert sum('in another order' in note for note in data.notes) == 1


def test_two_categories_of_one_name_are_one_class(folder, opened):
    coco_mmdet(folder)
    path = folder / 'annotations/instances_train.json'
    document = json.loads(path.read_text())
    document['categories'].append(dict(id=9, name='nut'))
    document['annotations'][0]['category_id'] = 9
    put(path, document)
    data = opened()
    assert objects(data) == expected()
    assert 'Several categories have the name nut: one class.' in data.notes


def test_masks_marked_as_crowds_need_a_choice(folder, opened, sentence):
    coco_mmdet(folder)
    change(folder / 'annotations/instances_train.json', iscrowd=1)
    text = sentence()
    assert 'instances_train.json marks all its 4 objects' in text
    assert '--crowd-as-objects' in text
    data = opened(crowd_as_objects=True)
    assert objects(data) == expected()
    document = json.loads(data.splits['train'].ann_file.read_text())
    assert [entry['iscrowd'] for entry in document['annotations']] == [0] * 4
    assert '4 objects marked `iscrowd` are taken as objects.' in data.notes


def test_some_crowds_stay_what_they_are(folder, opened):
    coco_mmdet(folder)
    path = folder / 'annotations/instances_train.json'
    document = json.loads(path.read_text())
    document['annotations'][0]['iscrowd'] = 1
    put(path, document)
    assert opened().splits['train'].ann_file == path
    assert opened(crowd_as_objects=True).splits['train'].ann_file != path


def test_a_number_that_is_none_is_left_to_the_checks(folder, opened):
    coco_mmdet(folder)
    change(folder / 'annotations/instances_val.json', area=float('nan'))
    assert opened().splits['val'].ann_file.parent.name == 'annotations'


def test_a_test_split_needs_annotations(folder, opened):
    coco_mmdet(folder)
    path = folder / 'annotations/instances_test.json'
    put(path, coco('val') | dict(annotations=[]))
    data = opened()
    assert set(data.splits) == {'train', 'val'}
    assert 'annotations/instances_test.json has no annotations; not used.' in data.notes
    put(path, coco('val'))
    assert set(opened().splits) == {'train', 'val', 'test'}


def test_a_file_without_images_is_named(folder, opened):
    """A val split is made of the training images then, which has to be known."""
    coco_mmdet(folder)
    path = folder / 'annotations/instances_val.json'
    put(path, coco('val') | dict(images=[], annotations=[]))
    note = 'annotations/instances_val.json lists no images; not used.'
    assert note in opened().notes


def test_names_that_lead_away(folder, sentence):
    def check(name):
        coco_mmdet(folder)
        document = coco('train')
        document['images'][0]['file_name'] = name
        put(folder / 'annotations/instances_train.json', document)
        assert 'no path below a folder' in sentence()

    check_each(check, ['../train/one.png', '/etc/passwd', 'C:\\one.png', None, 7])


def test_what_cannot_be_decided_is_refused(folder):
    def two_files(place):
        put(place / 'train.json', coco('train'))
        return 'annotations/instances_train.json and train.json; keep one'

    def two_layouts(place):
        yolo_ultralytics(place)
        return 'COCO (instances_train.json and instances_val.json) and as YOLO (data.'

    def cut_short(place):
        put(place / 'annotations/instances_val.json', '{"images": [')
        return 'instances_val.json is not readable as JSON'

    def no_images(place):
        for path in place.glob('train/*'):
            path.unlink()
        return 'names the image one.png, which is in no folder'

    def no_train(place):
        (place / 'annotations/instances_train.json').unlink()
        return 'is COCO (instances_val.json) with val, but without train'

    def no_name(place):
        document = coco('train')
        document['categories'][1]['name'] = None
        put(place / 'annotations/instances_train.json', document)
        return 'names the category 2 None'

    def foreign_category(place):
        (place / 'annotations/instances_val.json').unlink()
        change(place / 'annotations/instances_train.json', category_id=9)
        return 'annotation 1 has the category_id 9'

    def check(case):
        place = folder / case.__name__
        coco_mmdet(place)
        words = case(place)
        with pytest.raises(ConfigError) as raised:
            open_folder(place, folder / 'out' / case.__name__)
        assert words in str(raised.value)
        assert not (folder / 'out' / case.__name__).exists()

    check_each(
        check,
        [
            *(two_files, two_layouts, cut_short, no_images, no_train, no_name),
            foreign_category,
        ],
    )


def test_a_folder_of_no_known_layout(folder, sentence):
    assert 'is no folder' in sentence()
    image(folder / 'images/1.png', (10, 10))
    put(folder / 'boxes.csv', '1,2')
    text = sentence()
    for words in ('COCO', 'YOLO', 'VOC', 'labelme', 'seen: 1 .csv, 1 .png in images.'):
        assert words in text


def test_links_to_folders_are_followed_but_not_in_a_circle(folder, tmp_path, opened):
    coco_mmdet(tmp_path / 'store')
    folder.mkdir()
    for name in ('annotations', 'train', 'val'):
        (folder / name).symlink_to(tmp_path / 'store' / name)
    (tmp_path / 'store/train/back').symlink_to(folder)
    (folder / 'again').symlink_to(folder / 'train')
    data = opened()
    assert objects(data) == expected()
    assert data.splits['train'].images == folder / 'train'


def test_json_that_is_something_else_is_no_hindrance(folder, opened):
    coco_mmdet(folder)
    put(folder / 'notes.json', '{"broken')
    put(folder / 'results.json', [1])
    assert set(opened().splits) == {'train', 'val'}


def test_one_image_cannot_be_divided(folder, sentence):
    coco_cvat(folder)
    path = folder / 'annotations/instances_default.json'
    document = coco()
    document['images'] = document['images'][:1]
    put(path, document | dict(annotations=document['annotations'][:1]))
    assert 'its 1 train images cannot be divided' in sentence()


@pytest.mark.parametrize('lay_out', [coco_cvat, voc_beside, labelme_beside])
def test_what_was_written_serves_again_until_something_changes(folder, opened, lay_out):
    lay_out(folder)
    first = opened()
    path = first.splits['train'].ann_file
    stamp = path.stat().st_mtime_ns
    again = opened()
    assert path.stat().st_mtime_ns == stamp
    assert again.splits == first.splits and again.classes == first.classes
    assert again.notes[:-1] == first.notes[:-1]
    assert again.notes[-1].endswith('were there.')
    source = next(p for p in sorted(folder.rglob('*')) if p.suffix in ('.xml', '.json'))
    os.utime(source, ns=(stamp, stamp + 1))
    assert opened().notes[-1].endswith('were written.')
    path.unlink()
    assert opened().notes[-1].endswith('were written.')
    assert objects(opened()) == expected()


def test_no_file_of_another_origin_is_replaced(folder, tmp_path, opened, sentence):
    """A user's own, one cut short, and copies of another folder."""
    voc_beside(folder)
    opened()
    path = tmp_path / 'out/instances_val.json'
    written = path.read_text()
    ours = json.loads(written)

    def check(content):
        put(path, content)
        before = path.read_text()
        text = sentence()
        assert f'{path} was not written from {folder}' in text
        assert 'choose another --out or --work-dir' in text
        assert path.read_text() == before

    other = ours['info'] | dict(folder='/other/data')
    check_each(
        check,
        [
            ours | dict(info={}),
            ours | dict(info=other),
            written[:100],
            [1],
            '',
        ],
    )
    put(path, ours | dict(info=other))
    assert 'but from /other/data, and' in sentence()
    put(path, written)
    assert opened().notes[-1].endswith('were there.')


def test_copies_below_the_folder_are_no_part_of_it(folder, opened):
    """But files of the user beside them are."""
    coco_cvat(folder)
    place = folder / 'annotations'
    data = open_folder(folder, place)
    assert objects(data) == expected()
    again = open_folder(folder, place)
    assert again.notes[-1].endswith('were there.') and again.splits == data.splits


def test_a_number_that_is_none_is_reused_too(folder, opened):
    coco_cvat(folder)
    change(folder / 'annotations/instances_default.json', area=float('nan'))
    opened()
    assert opened().notes[-1].endswith('were there.')


def test_the_folder_itself_is_not_written_to(folder):
    voc_beside(folder)
    with pytest.raises(ConfigError, match='is the data set, which is not written to'):
        open_folder(folder, folder / '../data')


def test_words_that_name_a_split():
    def check(name, split):
        assert split_named(name) == split

    check_each(
        check,
        [
            ('instances_train2017', 'train'),
            ('instancesonly_filtered_gtFine_val', 'val'),
            ('deepTest', 'test'),
            ('testing', 'test'),
            ('instances_default', None),
            ('constraint', None),
            ('latest', None),
        ],
    )


def test_a_folder_is_named_for_a_split_as_a_whole():
    def check(name, split):
        assert split_of_folder(name) == split

    check_each(
        check,
        [
            ('train', 'train'),
            ('Train2017', 'train'),
            ('test_2020', 'test'),
            ('obj_valid_data', 'val'),
            ('val_images', 'val'),
            ('images/validation', 'val'),
            ('leftImg8bit/train/bonn', 'train'),
            ('train/test', 'test'),
            ('train/crash_test_2020', 'train'),
            ('crash_test_2020', None),
            ('test_bench', None),
            ('train_val', None),
            ('images', None),
            ('.', None),
        ],
    )


def test_a_folder_with_a_split_in_its_name_is_none(folder, opened):
    write(folder, 'crash_test_2020', 'crash_test_2020', 'labelme')
    data = opened()
    assert set(data.splits) == {'train', 'val'} and objects(data) == expected()


def test_a_test_needs_no_training_images(folder, tmp_path, opened, sentence):
    def check(lay_out, split):
        place = folder / split / lay_out.__name__
        lay_out(place / split)
        with pytest.raises(ConfigError, match=f'with {split}, but without train'):
            open_folder(place, tmp_path / 'none')
        out = tmp_path / f'out_{split}'
        data = open_folder(place, out / lay_out.__name__, for_training=False)
        assert objects(data, [split]) == expected() and set(data.splits) == {split}
        written = [path.name for path in out.rglob('*.json')]
        assert set(written) <= {f'instances_{split}.json'}

    def coco_beside(place):
        write(place, '.', '', 'none')
        put(place / '_annotations.coco.json', coco())

    check_each(
        check,
        [(f, s) for f in (voc_beside, coco_beside) for s in ('val', 'test')],
    )
    assert not (tmp_path / 'none').exists()


def test_a_fifth_is_chosen_and_stays_chosen():
    names = [f'images/{i}.jpg' for i in range(2000)]
    chosen = choose_val(names)
    assert 340 < len(chosen) < 460
    assert choose_val(reversed(names)) == chosen
    assert choose_val(f'other/{i}.png' for i in range(2000)) == {
        name.replace('images', 'other').replace('jpg', 'png') for name in chosen
    }
    fewer = choose_val(names[:1000])
    assert len(fewer - chosen) <= 1  # but for the one that is always chosen
    for number in range(2, 20):
        assert 0 < len(choose_val(names[:number])) < number
    assert choose_val(names[:1]) == set()


def test_altered_copies_of_an_image_stay_together():
    names = [f'{i}_jpg.rf.{c}{i}.jpg' for i in range(100) for c in 'abc']
    chosen = choose_val(names)
    assert chosen and {n.partition('.rf')[0] for n in chosen}.isdisjoint(
        n.partition('.rf')[0] for n in set(names) - chosen
    )
