"""Data that need mending, from the command to the numbers; as told in docs/data.md."""

import json
from pathlib import Path

import pytest
import torch.multiprocessing as mp
from mmengine.config import Config

from mmdet_qrpaq.analysis.subjects import Models
from mmdet_qrpaq.command_line import new_parser
from mmdet_qrpaq.errors import ConfigError
from tiny_runs import CLASSES, believe, logged_losses, metrics, predictions, run_tool
from two_processes import look_through_data


def break_in_many_ways(source: Path, path: Path) -> None:
    """Nothing a reader needs is lost: no area, ids from 0, classes turned round."""
    coco = json.loads(source.read_text())
    coco['categories'].reverse()
    for number, entry in enumerate(coco['annotations']):
        entry['id'] = number
        del entry['area'], entry['iscrowd']
    for entry in coco['images']:
        del entry['width'], entry['height']
    path.write_text(json.dumps(coco))


def test_a_test_on_broken_data_gives_the_numbers_of_sound_data(
    tiny_config: Path, tiny_run: Path, dataset_root: Path, tmp_path: Path
) -> None:
    arguments = [tiny_config, tiny_run / 'epoch_2.pth', '--work-dir']
    first = tmp_path / 'first.pkl'
    run_tool('test', *arguments, tmp_path / 'first', '--out', first)
    sound, broken = tmp_path / 'sound.json', tmp_path / 'broken.json'
    believe(predictions(first), dataset_root / 'val.json', sound)
    break_in_many_ways(sound, broken)
    before = broken.read_bytes()
    found = []
    for truth in (sound, broken):
        work_dir = tmp_path / truth.stem
        run_tool(
            'test',
            *arguments,
            work_dir,
            '--cfg-options',
            f'test_evaluator.ann_file={truth}',
            f'test_dataloader.dataset.ann_file={truth}',
        )
        found.append({k: v for k, v in metrics(work_dir).items() if 'mAP' in k})
    assert found[0] == found[1]
    assert 0.1 < found[0]['coco/bbox_mAP'] < 0.9
    assert broken.read_bytes() == before
    copies = list((tmp_path / 'broken' / 'annotations').iterdir())
    assert [path.name for path in copies] == ['broken.json']
    assert not (tmp_path / 'sound' / 'annotations').exists()


def test_a_training_on_broken_data_is_that_on_sound_data(
    tiny_config: Path, dataset_root: Path, tmp_path: Path, capsys
) -> None:
    broken = {split: tmp_path / f'{split}.json' for split in ('train', 'val')}
    for split, path in broken.items():
        break_in_many_ways(dataset_root / f'{split}.json', path)
    one_epoch = ['randomness.seed=3', 'train_cfg.max_epochs=1', 'train_cfg.val_begin=9']
    sound = tmp_path / 'sound'
    run_tool('train', tiny_config, '--work-dir', sound, '--cfg-options', *one_epoch)
    capsys.readouterr()
    work_dir = tmp_path / 'run'
    run_tool(
        'train',
        tiny_config,
        '--work-dir',
        work_dir,
        '--cfg-options',
        *one_epoch,
        f'train_dataloader.dataset.ann_file={broken["train"]}',
        f'val_dataloader.dataset.ann_file={broken["val"]}',
        f'val_evaluator.ann_file={broken["val"]}',
    )
    assert logged_losses(work_dir) == logged_losses(sound)
    told = [line for line in capsys.readouterr().out.splitlines() if 'copy' in line]
    copies = {split: work_dir / 'annotations' / f'{split}.json' for split in broken}
    assert [line.partition(':')[0] for line in told] == [
        f'{broken[split]} is read from the copy {copies[split]}' for split in broken
    ]
    used = Config.fromfile(work_dir / tiny_config.name)
    assert used.train_dataloader.dataset.ann_file == str(copies['train'])
    assert used.val_evaluator.ann_file == str(copies['val'])


def test_a_nan_in_the_evaluator_s_file_stops_a_training_before_it_starts(
    tiny_config: Path, dataset_root: Path, tmp_path: Path
) -> None:
    coco = json.loads((dataset_root / 'val.json').read_text())
    coco['annotations'][1]['bbox'][2] = float('nan')
    path = tmp_path / 'nan.json'
    path.write_text(json.dumps(coco))
    work_dir = tmp_path / 'run'
    options = ['--cfg-options', f'val_evaluator.ann_file={path}']
    with pytest.raises(
        ConfigError, match='nan.json, annotation 2 in image val_0.png: its bbox is'
    ):
        run_tool('train', tiny_config, '--work-dir', work_dir, *options)
    assert not list(work_dir.rglob('*.*'))


def test_analyses_read_a_copy_that_goes_with_them(
    tiny_config: Path, tiny_run: Path, dataset_root: Path, tmp_path: Path
) -> None:
    broken = tmp_path / 'val.json'
    break_in_many_ways(dataset_root / 'val.json', broken)
    parser = new_parser('')
    Models().add_arguments(parser)
    words = [str(tiny_config), str(tiny_run / 'epoch_2.pth'), '--cfg-options']
    words += [f'val_dataloader.dataset.ann_file={broken}']
    words += [f'val_evaluator.ann_file={broken}']
    (model,) = Models().read(parser.parse_args(words))
    copy = model.cfg.val_evaluator.ann_file
    assert model.dataloader.dataset.ann_file == copy
    names = [
        entry['name'] for entry in json.loads(Path(copy).read_text())['categories']
    ]
    assert tuple(names) == CLASSES
    assert list(tmp_path.iterdir()) == [broken]
    assert not list(tiny_run.rglob('annotations'))


@pytest.mark.slow
def test_every_process_reads_the_copy_or_stops(
    tiny_config: Path, dataset_root: Path, tmp_path: Path
) -> None:
    mendable, broken = tmp_path / 'train.json', tmp_path / 'no_numbers.json'
    break_in_many_ways(dataset_root / 'train.json', mendable)
    broken.write_text(mendable.read_text().replace('"bbox": [', '"bbox": ["x", '))
    arguments = (
        f'file://{tmp_path}/store',
        str(tiny_config),
        str(mendable),
        str(broken),
    )
    mp.start_processes(look_through_data, arguments, nprocs=2, start_method='spawn')
