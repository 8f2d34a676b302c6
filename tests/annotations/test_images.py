"""Image files against what a COCO file says of them."""

import re

import pytest
from PIL import Image

from coco_file import SIZES, faults, sound, use, write
from mmdet_qrpaq.annotations import check_annotations, read_annotations
from mmdet_qrpaq.formats.images import image_header


def told(folder, change, coco=None, **settings):
    """Findings by kind, after `change` was made to the images."""
    found = read_annotations(write(folder, coco or sound()))
    change(folder / 'images')
    findings = check_annotations(found, use(folder, **settings))
    return {finding.kind: str(finding) for finding in findings}


def in_another_size(images):
    Image.new('L', (32, 24)).save(images / 'b.png')


def turned(images):
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new('L', SIZES[1]).save(images / 'b.png', exif=exif)


def cut_short(images):
    path = images / 'b.png'
    path.write_bytes(path.read_bytes()[:20])


@pytest.mark.parametrize(
    ('change', 'kind', 'expected'),
    [
        (
            lambda images: (images / 'b.png').unlink(),
            'image-missing',
            'dataset: 1 of the 2 images listed in .*a.json do not exist, the first is '
            '.*b.png; add them or set train_dataloader.dataset.data_prefix.img',
        ),
        (
            lambda images: (images / 'b.png').write_bytes(b''),
            'image-empty',
            'images/b.png: the file has 0 bytes; copy it again',
        ),
        (
            in_another_size,
            'image-size',
            'images/b.png: it is 32 x 24 pixels, and 64 x 48 in .*a.json; '
            '2 of its 2 images were looked at; use the images',
        ),
        (turned, 'image-size', '48 x 64 pixels, turned as its EXIF tag says, and 64 x'),
        (cut_short, 'image-unreadable', 'the image .*b.png cannot be read .*replace'),
    ],
    ids=['missing', 'empty', 'size', 'turned', 'cut short'],
)
def test_what_is_wrong_with_an_image_is_told(tmp_path, change, kind, expected):
    found = told(tmp_path, change)
    assert list(found) == [kind]
    assert re.search(expected, found[kind]), found[kind]


def test_a_link_to_nowhere_is_missing(tmp_path):
    def change(images):
        (images / 'b.png').unlink()
        (images / 'b.png').symlink_to(images / 'gone.png')

    assert list(told(tmp_path, change)) == ['image-missing']


def test_only_some_headers_are_looked_at(tmp_path):
    coco = sound()
    coco['images'] *= 50  # a, b, a, b, ...
    for number, entry in enumerate(coco['images']):
        coco['images'][number] = dict(entry, id=number)
    found = told(tmp_path, in_another_size, coco, learned=False, headers=11)
    # Rows 0, 9, 19, ..., 99: those with odd numbers are b.png.
    assert '(as in 9 more); 11 of its 100 images were looked at' in found['image-size']


def test_a_file_without_images_is_told(tmp_path):
    coco = sound() | dict(images=[], annotations=[])
    assert (
        'it lists no images' in told(tmp_path, lambda images: None, coco)['no-images']
    )


def test_headers(tmp_path):
    for mode in ('L', 'RGB', 'I;16', 'F', 'P'):
        name = tmp_path / ('a.tif' if mode == 'F' else 'a.png')
        Image.new(mode, (7, 5)).save(name)
        assert image_header(name) == ((7, 5), mode, False)


def test_damaged_exif_turns_nothing(tmp_path):
    for name in ('a.png', 'a.webp'):
        for exif in (b'Exif\0\0MM\0*', b'Exif\0\0II*\0\xff\xff\xff\x7f', b'nothing'):
            path = tmp_path / name
            Image.new('RGB', (7, 5)).save(path, exif=exif)
            assert image_header(path) == ((7, 5), 'RGB', False)


def without_sizes(**changes) -> dict:
    coco = sound()
    for entry in coco['images']:
        del entry['width'], entry['height']
    for entry in coco['annotations']:
        entry |= changes
    return coco


def test_a_size_that_the_file_lacks_is_that_of_the_image_in_every_check(tmp_path):
    assert faults(tmp_path, without_sizes(), masks=True) == {}
    told = faults(tmp_path, without_sizes(bbox=[500, 10, 20, 30]))
    assert '3 with a box outside their image' in told['nothing-usable']
    told = faults(tmp_path, without_sizes(), min_size=300)
    assert '2 are smaller than 300 pixels' in told['no-image-left']
    rle = dict(size=[10, 10], counts=[20, 30, 50])
    told = faults(tmp_path, without_sizes(segmentation=rle), masks=True)
    assert 'RLE of [10, 10] and not of' in told['mask']


def test_an_image_whose_size_nobody_knows(tmp_path):
    found = read_annotations(write(tmp_path, without_sizes()))
    (tmp_path / 'images' / 'b.png').write_bytes(b'no image')
    told = check_annotations(found, use(tmp_path, headers=0))
    assert [finding.kind for finding in told] == ['image-unreadable']
    # An evaluator asks for sizes where it makes masks.
    settings = dict(learned=False, judged=True)
    assert check_annotations(found, use(tmp_path, **settings)) == []
    told = check_annotations(found, use(tmp_path, masks=True, **settings))
    assert 'image b.png: it has no width; write' in str(told[0])
