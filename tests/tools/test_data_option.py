"""`--data FOLDER` as it is typed: from a folder to training and to a test."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import prepare
from data_folders import CLASSES, coco_mmdet, yolo_roboflow
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.runtime.configs import read_config
from tiny_runs import CONFIG, METHODS, TOOLS, logged_losses, run_tool

WORDS = ('--epochs', 1, '--batch-size', 2, '--seed', 3)
LEAF = 'tiny_paq_my_parts.py'


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Path:
    """Routed PaQ-DINO that expects two classes of data that are not there."""
    folder = tmp_path_factory.mktemp('configs')
    base = folder / 'tiny.py'
    base.write_text(CONFIG.format(classes=('a', 'b'), root='/nowhere'))
    path = folder / 'tiny_paq.py'
    path.write_text(METHODS.format(base=str(base)))
    return path


@pytest.fixture(scope='module')
def trained(config, tmp_path_factory) -> tuple[Path, Path]:
    """A YOLO folder with a test split, and the work folder of a training on it."""
    root = tmp_path_factory.mktemp('trained')
    yolo_roboflow(root / 'my parts')
    run_tool(
        *('train', config, '--data', root / 'my parts', *WORDS),
        *('--work-dir', root / 'run'),
    )
    return root / 'my parts', root / 'run'


def metrics(work_dir: Path) -> dict:
    found = json.loads(next(work_dir.glob('2*/2*.json')).read_text())
    return {key: value for key, value in found.items() if 'mAP' in key}


def settings_in(leaf: Path) -> str:
    lines = leaf.read_text().splitlines()
    return '\n'.join(line for line in lines if not line.startswith('#'))


def test_the_leaf_is_the_run(trained, config, tmp_path):
    """Trained again by itself it has the same losses, and stays as it was written."""
    folder, run = trained
    text = (run / LEAF).read_text()
    assert f'_base_ = {str(config)!r}' in text
    assert "# 3 classes: 'hex bolt', 'nut', '7'" in text
    assert '# batches of 2 images: --batch-size' in text
    cfg = read_config(str(run / LEAF))
    assert tuple(cfg.metainfo.classes) == CLASSES
    assert cfg.model.bbox_head.num_classes == 3
    assert cfg.train_dataloader.dataset.ann_file == str(
        run / 'coco/instances_train.json'
    )
    assert cfg.test_evaluator.ann_file == str(run / 'coco/instances_test.json')
    losses = logged_losses(run)
    assert sorted(losses) == [1, 2]  # three images with objects
    shutil.copy(run / LEAF, tmp_path)
    run_tool('train', tmp_path / LEAF, '--work-dir', tmp_path)
    assert logged_losses(tmp_path) == losses
    assert (tmp_path / LEAF).read_text() == text
    whole = read_config(str(tmp_path / f'{LEAF[:-3]}_whole.py'))
    assert whole.model.bbox_head.num_classes == 3


def test_testing_the_leaf_and_testing_a_folder(trained, config, tmp_path):
    """The test split of the one has the images that are the other's validation set."""
    run = trained[1]
    run_tool('test', run / LEAF, run / 'epoch_1.pth', '--work-dir', tmp_path / 'leaf')
    coco_mmdet(tmp_path / 'parts')
    run_tool(
        *('test', config, run / 'epoch_1.pth', '--work-dir', tmp_path / 'folder'),
        *('--data', tmp_path / 'parts'),
    )
    assert metrics(tmp_path / 'leaf') == metrics(tmp_path / 'folder')
    # Images to test on alone, in the work folder of the training.
    yolo_roboflow(tmp_path / 'other')
    (tmp_path / 'other/data.yaml').write_text(f'test: test/images\nnames: {[*CLASSES]}')
    before = {path: path.read_bytes() for path in (run / 'coco').iterdir()}
    out = shutil.copytree(run, tmp_path / 'run', ignore=shutil.ignore_patterns('*.pth'))
    run_tool(
        *('test', config, run / 'epoch_1.pth', '--work-dir', out),
        *('--data', tmp_path / 'other'),
    )
    assert {p.name: p.read_bytes() for p in (out / 'coco').iterdir()} == {
        path.name: content for path, content in before.items()
    }
    assert [p.name for p in (out / 'coco_test_other').iterdir()] == [
        'instances_test.json'
    ]
    for path in (tmp_path / 'parts/annotations').glob('*.json'):
        path.write_text(path.read_text().replace('hex bolt', 'screw'))
    with pytest.raises(
        ConfigError, match="was trained on the classes 'hex bolt', 'nut"
    ):
        run_tool(
            *('test', config, run / 'epoch_1.pth', '--work-dir', tmp_path / 'other'),
            *('--data', tmp_path / 'parts'),
        )


def test_resuming_with_other_options_is_refused(trained, config):
    """The same options go on; the schedule is then at its end."""
    folder, run = trained
    words = ['train', config, '--data', folder, '--work-dir', run, '--resume']
    before = settings_in(run / LEAF)
    run_tool(*words, *WORDS)
    expected = (
        r'differs from what --data decides now: .*train_cfg.max_epochs is 1 there and '
        r'4 now.*; train or resume that file in place of CONFIG and --data'
    )
    with pytest.raises(ConfigError, match=expected):
        run_tool(*words, *WORDS, '--epochs', 4)
    assert settings_in(run / LEAF) == before


def test_a_leaf_that_was_edited_is_kept(config, tmp_path):
    coco_mmdet(tmp_path / 'parts')
    words = [tmp_path / 'parts', '--config', config, '--out', tmp_path / 'out']
    prepare.main([*map(str, words)])
    (leaf,) = (tmp_path / 'out').glob('*.py')
    decided = leaf.read_text()
    prepare.main([*map(str, words)])  # the same again
    assert leaf.read_text() == decided
    leaf.write_text(f'{decided}train_dataloader.update(batch_size=7)\n')
    with pytest.raises(ConfigError, match='batch_size is 7 there and .*remove it to'):
        prepare.main([*map(str, words)])
    assert leaf.read_text() != decided
    leaf.unlink()
    prepare.main([*map(str, words)])
    assert leaf.read_text() == decided


def test_options_of_the_config_come_last(trained, config, tmp_path):
    folder = trained[0]
    out = tmp_path / 'run'
    run_tool(
        *('train', config, '--data', folder, *WORDS, '--work-dir', out),
        *('--cfg-options', 'model.num_queries=10', 'train_cfg.max_epochs=1'),
    )
    assert read_config(str(out / LEAF)).model.num_queries == 10
    plain = tmp_path / 'plain'
    leaf = trained[1] / LEAF
    words = ('--batch-size', 4, '--lr', 0.5, '--work-dir', plain)
    run_tool('train', leaf, *words, '--cfg-options', 'optim_wrapper.optimizer.lr=0.1')
    cfg = read_config(str(plain / LEAF))
    assert cfg.train_dataloader.batch_size == 4
    assert cfg.optim_wrapper.optimizer.lr == 0.1


def test_prepare_writes_the_leaf_alone(trained, config, tmp_path, capsys):
    """What the training wrote, but for the place of what was converted."""
    folder, run = trained
    words = [str(word) for word in WORDS]
    place = ['--config', str(config), '--out', str(tmp_path)]
    prepare.main([str(folder), *place, *words])
    assert f'The run is {tmp_path / LEAF}' in capsys.readouterr().out
    expected = settings_in(run / LEAF).replace(str(run / 'coco'), str(tmp_path))
    assert settings_in(tmp_path / LEAF) == expected


def test_a_leaf_of_another_folder_is_not_replaced(config, tmp_path):
    """Two folders of one name, whose COCO files serve as they are."""
    for place in 'ab':
        coco_mmdet(tmp_path / place / 'my parts')

    def write(place):
        out = ['--out', str(tmp_path / 'out'), '--config', str(config)]
        prepare.main([str(tmp_path / place / 'my parts'), *out])

    write('a')
    write('a')
    text = (tmp_path / 'out' / LEAF).read_text()
    with pytest.raises(ConfigError, match="is for the data in '.*/a/my parts/', and"):
        write('b')
    assert (tmp_path / 'out' / LEAF).read_text() == text


def test_a_folder_that_cannot_be_used(config, tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    words = ['train', config, '--data', tmp_path / 'empty', '--work-dir']
    with pytest.raises(ConfigError, match='empty'):
        run_tool(*words, tmp_path / 'run')
    assert not (tmp_path / 'run' / 'tiny_paq_empty.py').exists()


@pytest.mark.slow
def test_two_processes_share_one_leaf(trained, config, tmp_path):
    """Rank 0 writes and tells; a batch is an image on each of two devices."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    env = {**os.environ, 'PORT': str(port), 'CUDA_VISIBLE_DEVICES': '-1'}
    env['OMP_NUM_THREADS'] = '1'
    env['PATH'] = f'{Path(sys.executable).parent}:{env["PATH"]}'
    command = ['bash', str(TOOLS / 'dist_train.sh'), str(config), '2', '--data']
    words = [str(trained[0]), '--epochs', '1', '--batch-size', '1', '--work-dir']
    done = subprocess.run(
        [*command, *words, str(tmp_path)], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = re.findall('batches of 2 images: --batch-size, on 2 devices', done.stdout)
    assert len(told) == 1
    assert sorted(logged_losses(tmp_path)) == [1, 2]
