"""Runs with settings and images that upstream's loaders and figures stop at."""

import json
import shutil

import cv2
import numpy as np
import pytest

from tiny_runs import CLASSES, CONFIG, logged_losses, run_script, run_tool

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
SHORT = ('default_hooks.checkpoint.save_best=None', 'train_cfg.max_epochs=1')


@pytest.fixture
def copied(tiny_config, dataset_root, tmp_path):
    """A folder with a copy of data and config, to be changed."""
    root = shutil.copytree(dataset_root, tmp_path / 'data')
    config = tmp_path / 'tiny.py'
    config.write_text(CONFIG.format(classes=CLASSES, root=str(root)))
    return root


def rename(root, images: dict[str, str]) -> None:
    for split in ('train', 'val'):
        path = root / f'{split}.json'
        coco = json.loads(path.read_text())
        for entry in coco['images']:
            entry['file_name'] = images.get(entry['file_name'], entry['file_name'])
        path.write_text(json.dumps(coco))


def test_no_workers_in_any_loader(tiny_config, tmp_path):
    """Where a config asks for workers that persist."""
    settings = [
        f'{loader}.{setting}'
        for loader in LOADERS
        for setting in (
            *('num_workers=0', 'persistent_workers=True', 'prefetch_factor=2'),
            *('timeout=60', 'multiprocessing_context=fork'),
        )
    ]
    run_tool(
        *('train', tiny_config, '--work-dir', tmp_path / 'run'),
        *('--cfg-options', *SHORT, *settings),
    )
    assert sorted(logged_losses(tmp_path / 'run')) == [1, 2]
    run_tool(
        *('test', tiny_config, tmp_path / 'run' / 'epoch_1.pth'),
        *('--work-dir', tmp_path / 'test', '--cfg-options', *settings),
    )


@pytest.mark.parametrize(
    'palette', ['[(255,0,0)]', '((255,0,0),(0,255,0))', '(255,0,0)', '[255,0,0]']
)
def test_palettes(copied, tiny_run, tmp_path, palette):
    arguments = ['--work-dir', tmp_path / 'out', '--show-dir', 'drawn']
    run_tool(
        *('test', copied.parent / 'tiny.py', tiny_run / 'epoch_2.pth', *arguments),
        *('--cfg-options', f'test_dataloader.dataset.metainfo.palette={palette}'),
        'default_hooks.visualization.score_thr=0',
    )
    assert len(list((tmp_path / 'out').glob('*/drawn/*.png'))) == 3


def test_names_with_spaces_and_digits(copied, tmp_path):
    for split in ('train', 'val'):
        path = copied / f'{split}.json'
        coco = json.loads(path.read_text())
        for entry, name in zip(coco['categories'], ('hex bolt', '7'), strict=True):
            entry['name'] = name
        path.write_text(json.dumps(coco))
    names = [f'{loader}.dataset.metainfo.classes' for loader in LOADERS]
    run_tool(
        *('train', copied.parent / 'tiny.py', '--work-dir', tmp_path / 'run'),
        *('--cfg-options', *SHORT, *(f"{name}=('hex bolt','7')" for name in names)),
    )
    assert sorted(logged_losses(tmp_path / 'run')) == [1, 2]


def test_images_of_other_depths(copied, tiny_run, tmp_path):
    """The same images, of 12 bits and of floats, are detected and drawn the same."""
    images = copied / 'images'
    colour = cv2.imread(str(images / 'val_0.png'))
    cv2.imwrite(str(images / 'deep.tif'), np.uint16(colour) * 16)
    grey = cv2.imread(str(images / 'val_1.png'), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(images / 'val_1.png'), grey)
    cv2.imwrite(str(images / 'floats.tif'), np.float32(grey / 255))
    drawn = []
    for names in ({}, {'val_0.png': 'deep.tif', 'val_1.png': 'floats.tif'}):
        rename(copied, names)
        out = tmp_path / str(len(names))
        run_tool(
            *('test', copied.parent / 'tiny.py', tiny_run / 'epoch_2.pth'),
            *('--work-dir', out, '--show-dir', 'drawn'),
            *('--cfg-options', 'default_hooks.visualization.score_thr=1'),
        )
        drawn.append([cv2.imread(str(path)) for path in sorted(out.glob('*/drawn/*'))])
    plain, deep = drawn
    assert len(plain) == len(deep) == 3
    # Sorted by name: deep.tif, floats.tif, val_2.png.
    for one, other in zip(plain, deep, strict=True):
        np.testing.assert_array_equal(one, other)
    assert plain[0].max() == 255


@pytest.mark.parametrize('workers', [0, 1])
def test_a_damaged_image_is_named(copied, tmp_path, capfd, workers):
    """Also from a worker, whose traceback comes with it."""
    path = copied / 'images' / 'train_2.png'
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(SystemExit) as end:
        run_script(
            *('train', copied.parent / 'tiny.py', '--work-dir', tmp_path / 'run'),
            *('--cfg-options', *SHORT, f'train_dataloader.num_workers={workers}'),
        )
    assert end.value.code == 2
    told = capfd.readouterr().err
    expected = f'error: image {path} cannot be read (it is damaged, no image, or'
    assert expected in told and 'Traceback' not in told
