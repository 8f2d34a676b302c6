"""`python -m mmdet_qrpaq.doctor`: silent on a sound set, and on each fault planted."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from check_each import check_each
from mmdet_qrpaq.doctor import environment
from mmdet_qrpaq.doctor.__main__ import main
from mmdet_qrpaq.doctor.duplicates import repeated_images
from mmdet_qrpaq.doctor.images import Listed, Look
from tiny_hosts import REPOSITORY
from tiny_runs import CONFIG

SIDE = 96
CLASSES = ('hex bolt', '7')


def sound(root: Path) -> Path:
    """Twelve images to train on and four others, with one object of each class."""
    rng = np.random.default_rng(0)
    for split, count in (('train', 12), ('val', 4)):
        categories = [dict(id=i, name=name) for i, name in enumerate(CLASSES, 1)]
        coco = dict(info={}, images=[], annotations=[], categories=categories)
        (root / split).mkdir(parents=True)
        for number in range(1, count + 1):
            cells = rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)
            image = Image.fromarray(cells).resize((SIDE, SIDE), Image.BICUBIC)
            name = f'{number}.png'
            image.save(root / split / name)
            coco['images'].append(
                dict(id=number, file_name=name, width=SIDE, height=SIDE)
            )
            for category in (1, 2):
                coco['annotations'].append(
                    thing(len(coco['annotations']) + 1, number, category)
                )
        write(root, split, coco)
    return root


def thing(number, image, category, box=(10, 10, 20, 30)):
    return dict(
        id=number,
        image_id=image,
        category_id=category,
        bbox=list(box),
        area=box[2] * box[3],
        iscrowd=0,
    )


def path_of(root, split):
    return root / 'annotations' / f'instances_{split}.json'


def write(root, split, coco):
    path_of(root, split).parent.mkdir(exist_ok=True)
    path_of(root, split).write_text(json.dumps(coco))


def change(root, split, edit):
    coco = json.loads(path_of(root, split).read_text())
    edit(coco)
    write(root, split, coco)


def examine(*words):
    """The exit status, and the findings: `severity kind` and all the words."""
    with pytest.raises(SystemExit) as exited:
        main([*map(str, words), '--json'])
    return exited.value.code


def findings(capsys, *words):
    status = examine(*words)
    told = json.loads(capsys.readouterr().out)['findings']
    return status, {f'{f["severity"]} {f["kind"]}': f for f in told}


@pytest.fixture
def folder(tmp_path):
    return sound(tmp_path / 'parts')


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'tiny.py'
    path.write_text(CONFIG.format(classes=CLASSES, root='/nowhere'))
    return path


def test_a_sound_set_is_sound(folder, config, capsys):
    assert findings(capsys, '--data', folder) == (0, {})
    assert findings(capsys, config, '--data', folder) == (0, {})
    # Nothing is left behind.
    assert {path.name for path in folder.iterdir()} == {'annotations', 'train', 'val'}


def truncated(root):
    path = root / 'val' / '2.png'
    path.write_bytes(path.read_bytes()[:-200])


def truncated_jpeg(root):
    image = Image.open(root / 'val' / '2.png').resize((SIDE, SIDE))
    image.save(root / 'val' / '2.jpg', quality=95)
    content = (root / 'val' / '2.jpg').read_bytes()
    (root / 'val' / '2.jpg').write_bytes(content[: len(content) // 2])
    change(root, 'val', lambda coco: coco['images'][1].update(file_name='2.jpg'))


def resized(root):
    Image.open(root / 'train' / '3.png').resize((48, 48)).save(root / 'train' / '3.png')


def turned(root):
    """As large as its file says, and shown on its side."""
    image = Image.open(root / 'train' / '3.png').resize((SIDE, 48))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(root / 'train' / '3.png', exif=exif)
    change(root, 'train', lambda coco: coco['images'][2].update(height=48))


def empty(root):
    (root / 'train' / '3.png').write_bytes(b'')


def absent(root):
    (root / 'train' / '3.png').unlink()


def leak(root):
    shutil.copy(root / 'train' / '1.png', root / 'val' / '4.png')


def leak_anew(root):
    """Smaller, and written as JPEG."""
    image = Image.open(root / 'train' / '1.png').resize((64, 64), Image.LANCZOS)
    image.save(root / 'val' / '4.jpg', quality=80)
    size = dict(file_name='4.jpg', width=64, height=64)
    change(root, 'val', lambda coco: coco['images'][3].update(size))


def twice(root):
    shutil.copy(root / 'train' / '1.png', root / 'train' / '2.png')


def twice_anew(root):
    image = Image.open(root / 'train' / '1.png')
    image.save(root / 'train' / '2.jpg', quality=80)
    change(root, 'train', lambda coco: coco['images'][1].update(file_name='2.jpg'))


def unlearned(root):
    def edit(coco):
        coco['annotations'] = [a for a in coco['annotations'] if a['category_id'] == 1]

    change(root, 'train', edit)


def few(root):
    def edit(coco):
        coco['annotations'] = coco['annotations'][:-6]

    change(root, 'train', edit)


def not_a_number(root):
    def edit(coco):
        coco['annotations'][5]['bbox'][2] = float('nan')

    change(root, 'train', edit)


def all_crowds(root):
    def edit(coco):
        for entry in coco['annotations']:
            entry['iscrowd'] = 1

    change(root, 'train', edit)


def half_a_mask(root):
    def edit(coco):
        for entry in coco['annotations']:
            entry['segmentation'] = [[10, 10, 30, 10, 30, 40]]
        coco['annotations'][4]['segmentation'] = [[]]

    change(root, 'train', edit)


def thin(root):
    """Four pixels high in an image of 4096, of which a model sees 64 at most."""

    def edit(coco):
        coco['images'][0].update(width=4096, height=4096)
        coco['annotations'][0].update(bbox=[10, 10, 300, 4], area=1200)

    change(root, 'train', edit)
    Image.open(root / 'train' / '1.png').resize((4096, 4096)).save(
        root / 'train' / '1.png'
    )


def crowded(root):
    def edit(coco):
        for number in range(120):
            coco['annotations'].append(thing(1000 + number, 1, 1))

    change(root, 'val', edit)


def test_each_planted_fault(tmp_path, config, capsys):
    """The worst severity is the status; place and number are named."""

    def check(plant, expected, place, words=()):
        root = sound(tmp_path / expected / plant.__name__)
        plant(root)
        status, found = findings(capsys, *words, '--data', root)
        assert expected in found, found
        named = f'{found[expected]["place"]} {found[expected]["what"]}'
        assert place in named, named
        assert found[expected]['remedy'] and found[expected]['count'] >= 1
        worst = {'error': 2, 'warning': 1, 'note': 0}
        assert status == max(worst[key.split()[0]] for key in found)
        assert len(found) == 1 or plant is crowded, found

    check_each(
        check,
        [
            (truncated, 'error image-unreadable', 'val/2.png'),
            (truncated_jpeg, 'error image-unreadable', 'val/2.jpg'),
            (
                resized,
                'error image-size',
                'train/3.png it is 48 x 48 pixels, and',
            ),
            (
                turned,
                'error image-size',
                '3.png it is 48 x 96 pixels, turned as',
            ),
            (empty, 'error image-empty', 'train/3.png'),
            (absent, 'error image-missing', 'train/3.png'),
            (leak, 'warning leak-same', 'val/4.png'),
            (leak_anew, 'warning leak-alike', 'val/4.jpg'),
            (twice, 'warning duplicate-same', 'train/2.png'),
            (twice_anew, 'note duplicate-alike', 'train/2.jpg'),
            (
                unlearned,
                'warning class-not-learned',
                '4 of its 8 objects',
            ),
            (
                few,
                'note few-objects',
                'fewer than 10 objects: ',
            ),
            (not_a_number, 'error number', 'annotation 6 in image 3.png'),
            (all_crowds, 'error refused', 'iscrowd'),
            (half_a_mask, 'warning mask', 'annotation 5 in image 3.png'),
            (thin, 'warning object-too-small', 'annotation 1 in image 1.png', [config]),
            (crowded, 'warning more-objects-than-queries', '1.png', [config]),
            (crowded, 'note more-objects-than-counted', '1 images hold more than 100'),
        ],
    )


@pytest.mark.parametrize('suffix', ['png', 'tif'])
@pytest.mark.parametrize('channels', [1, 3])
def test_images_of_12_bits_are_told_apart(folder, capsys, suffix, channels):
    """Pillow makes grey ones white, and colours nearly black; a real copy is found."""
    rng = np.random.default_rng(0)

    def edit(coco):
        for entry in coco['images']:
            entry['file_name'] = entry['file_name'].replace('png', suffix)

    for split in ('train', 'val'):
        change(folder, split, edit)
        for path in sorted((folder / split).glob('*.png')):
            path.unlink()
            cells = rng.integers(1000, 4096, (12, 12, channels), dtype=np.uint16)
            image = cells.repeat(SIDE // 12, 0).repeat(SIDE // 12, 1)
            assert cv2.imwrite(str(path.with_suffix(f'.{suffix}')), image)
    assert findings(capsys, '--data', folder) == (0, {})
    copy = cv2.imread(str(folder / 'train' / f'1.{suffix}'), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(folder / 'val' / f'2.{suffix}'), copy ^ 1)
    assert [*findings(capsys, '--data', folder)[1]] == ['warning leak-alike']


def test_a_rate_for_another_batch(folder, config, capsys):
    """The tiny config has batches of two, and upstream's rate, for sixteen."""
    (folder / 'images').symlink_to(folder / 'train')
    text = config.read_text().replace('/nowhere', str(folder))
    for split in ('train', 'val'):
        text = text.replace(f'{split}.json', f'annotations/instances_{split}.json')
    config.write_text(text)
    status, found = findings(capsys, config)
    assert (status, [*found]) == (1, ['warning learning-rate', 'warning leak-same'])
    assert (
        'is for batches of 16, and on 1 device they are of 2'
        in (found['warning learning-rate']['what'])
    )
    # --data changes it.
    assert findings(capsys, config, '--data', folder)[0] == 0


def test_one_file_to_learn_from_and_to_test_on(folder, config, capsys):
    """As a whole, and once: the images of it are no leaks one by one."""
    text = config.read_text().replace('/nowhere', str(folder))
    for split in ('train', 'val'):
        text = text.replace(f'{split}.json', 'annotations/instances_train.json')
    text = text.replace('images/', 'train/')
    config.write_text(text)
    status, found = findings(capsys, config)
    assert status == 1
    assert [*found] == ['warning learning-rate', 'warning leak-file']
    leak = found['warning leak-file']
    assert leak['place'].endswith('_dataloader.dataset.ann_file')
    assert 'train_dataloader.dataset names' in leak['what']


def test_copies_are_counted_by_image():
    """Of four to train on and three others, all alike: 3 + 2 twice, 3 leaks."""
    looks = [
        Look(Listed(split, f'{split}/{i}.png', 'a.json', (4, 4)), '', None, b'x')
        for split, number in (('train', 4), ('val', 3))
        for i in range(number)
    ]
    found = {finding.kind: finding for finding in repeated_images(looks)}
    assert {kind: finding.count for kind, finding in found.items()} == {
        'leak-same': 3,
        'duplicate-same': 5,
    }
    assert 'train/0.png (train)' in found['leak-same'].place
    assert '(4 more images are repeated)' in found['duplicate-same'].what


def test_images_that_are_alike_are_counted_by_image(folder, capsys):
    """Four ways of writing one image: three are repeated, not six pairs."""
    image = Image.open(folder / 'train' / '1.png')
    for number, quality in ((2, 80), (3, 85), (4, 90)):
        image.save(folder / 'train' / f'{number}.jpg', quality=quality)

    def edit(coco):
        for entry in coco['images'][1:4]:
            entry['file_name'] = f'{entry["id"]}.jpg'

    change(folder, 'train', edit)
    _, found = findings(capsys, '--data', folder)
    assert found['note duplicate-alike']['count'] == 3


def test_the_options_of_a_training(folder, config, capsys):
    """What a remedy advises can be tried; without a config it would change nothing."""
    thin(folder)
    kind = 'warning object-too-small'
    words = [config, '--data', folder]
    text = config.read_text().replace(
        "dict(type='RandomFlip'",
        "dict(type='Resize', scale=64), dict(type='RandomFlip'",
    )
    config.write_text(text)
    assert kind in findings(capsys, *words)[1]
    assert kind not in findings(capsys, *words, '--image-size', 2048)[1]
    with pytest.raises(SystemExit, match='2'):
        main(['--data', str(folder), '--image-size', '2048'])
    assert 'need a CONFIG' in capsys.readouterr().err


def test_an_unreadable_image_is_named_once(folder, capsys):
    path = folder / 'train' / '3.png'
    path.write_text('no image')
    _, found = findings(capsys, '--data', folder)
    told = found['error image-unreadable']
    assert f'{told["place"]} {told["what"]}'.count('3.png') == 1
    assert 'no known image format' in told['what']


def test_an_image_of_other_numbers_is_named_once(folder, capsys):
    path = folder / 'val' / '2.tif'
    path.with_suffix('.png').unlink()
    Image.fromarray(np.full((SIDE, SIDE), 700.0, np.float32)).save(path)

    def edit(coco):
        coco['images'][1]['file_name'] = path.name

    change(folder, 'val', edit)
    status, found = findings(capsys, '--data', folder)
    told = found['error image-unreadable']
    assert status == 2 and 'holds float32 from 700' in told['what'], told
    assert f'{told["place"]} {told["what"]}'.count(path.name) == 1


def test_mistakes_are_findings(folder, config, tmp_path, capsys):
    status, found = findings(capsys, tmp_path / 'absent.py', '--data', folder)
    assert status == 2 and 'does not exist' in found['error refused']['what']
    config.write_text(config.read_text() + "model = dict(type='DINOO')\n")
    status, found = findings(capsys, config, '--data', folder)
    assert status == 2 and 'DINOO' in found['error refused']['what']


def test_as_it_is_typed(folder, tmp_path):
    """From another folder; help without torch, then a table that names the fault."""
    leak(folder)
    command = [sys.executable, '-m', 'mmdet_qrpaq.doctor']
    env = dict(PYTHONPATH=str(REPOSITORY), PATH='', PYTHONSAFEPATH='1')
    env['PYTHONWARNINGS'] = 'ignore'
    help_ = subprocess.run(
        [command[0], '-X', 'importtime', *command[1:], '--help'],
        env=env,
        capture_output=True,
        text=True,
    )
    assert help_.returncode == 0 and 'usage: python -m mmdet_qrpaq' in help_.stdout
    assert ' torch\n' not in help_.stderr and ' mmengine\n' not in help_.stderr
    done = subprocess.run(
        [*command, '--data', str(folder)],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    for words in ('torch', 'operators of mmcv', 'WARNING leak-same', '1 warning.'):
        assert words in done.stdout
    assert 'Images' in done.stderr  # the bar does not get into a pipe


def test_an_installation_that_cannot_work(monkeypatch, capsys):
    def refuse():
        raise ImportError('mmdet_qrpaq needs mmdet, which is not installed; do this')

    monkeypatch.setattr('mmdet_qrpaq.register', refuse)
    status, found = findings(capsys, '--data', 'anything')
    assert status == 2 and [*found] == ['error installation']
    assert 'needs mmdet' in found['error installation']['what']


def test_operators_without_cuda(monkeypatch):
    monkeypatch.setattr(
        environment, '_operators', lambda: 'compiled, CUDA not available'
    )
    assert environment._unusable_operators(0) == []
    (found,) = environment._unusable_operators(2)
    assert 'there are 2 GPUs' in str(found)
