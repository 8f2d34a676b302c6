"""Each mistake of a user: one sentence, exit status 2, no traceback, no training."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmdet_qrpaq.command_line import run
from mmdet_qrpaq.errors import ConfigError
from tiny_runs import TOOLS, run_tool


def sentence(tool: str, arguments: list, capsys: pytest.CaptureFixture) -> str:
    """Run a tool in this process and return the sentence it ends with."""
    with pytest.raises(SystemExit) as end:
        run(lambda: run_tool(tool, *arguments))
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert 'Traceback' not in error
    found = [line for line in error.splitlines() if line.startswith('error: ')]
    assert len(found) == 1
    return found[0]


# --cfg-options of a training run -> what the sentence must contain.
SETTINGS = [
    (
        'model.bbox_head.num_classes=5',
        ['num_classes is 5', "2 classes ('square', 'disc')"],
    ),
    (
        'train_dataloader.dataset.metainfo.classes=(square,ring)',
        ["1 of its 2 classes ('ring')", "('square', 'disc')"],
    ),
    ('train_dataloader.dataset.data_root=nowhere', ['folder nowhere', 'data/coco/']),
    ('val_dataloader.dataset.ann_file=none.json', ['val_dataloader', 'none.json']),
    ('train_dataloader.dataset.data_prefix.img=pics', ['folder', 'pics']),
    ('val_evaluator.ann_file=none.json', ['val_evaluator.ann_file', 'none.json']),
    ('load_from=none.pth', ['none.pth does not exist']),
    ('train_dataloader=None', ['has no train_dataloader; to train']),
    ('val_evaluator=None', ['has no val_evaluator; to val']),
    ('train_dataloader.dataset.type=Foo', ["train_dataloader.dataset.type: 'Foo'"]),
    ('model.type=Foo', ["model.type: 'Foo' is not in the registry mmdet::model"]),
    ('model.neck.type=Foo', ["model.neck.type: 'Foo' is not in the registry"]),
    (
        'model.train_cfg.assigner.type=Foo',
        ["model.train_cfg.assigner.type: 'Foo' is not in the registry", 'task util'],
    ),
    (
        'model.query_routing.capacity=5',
        ['model.query_routing is unknown', "it needs model.type='QRPaQDINO'"],
    ),
    ('model.decoder.depth=6', ['model.decoder.depth is unknown: ']),
    (
        'model.pattern_query.num_patterns=5',
        ['model.pattern_query is unknown', "it needs model.type='QRPaQDINO'"],
    ),
    (
        'model.bbox_head.quality.layers=all',
        ['model.bbox_head.quality is unknown', "type='QualityAwareDINOHead'"],
    ),
    ('work_dir=/dev/null/x', ['--work-dir /dev/null/x: /dev/null is no folder']),
]


@pytest.mark.parametrize(('option', 'expected'), SETTINGS)
def test_settings(
    option: str,
    expected: list,
    tiny_config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    arguments = [tiny_config, '--cfg-options', f'work_dir={tmp_path}', option]
    said = sentence('train', arguments, capsys)
    assert all(part in said for part in expected), said


def test_amp_without_a_gpu(
    tiny_config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cpu')
    arguments = [tiny_config, '--work-dir', tmp_path, '--amp']
    assert '--amp (preset amp) needs a GPU' in sentence('train', arguments, capsys)


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_launcher_that_started_nothing(
    launcher: str, tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = [tiny_config, '--work-dir', tmp_path, '--launcher', launcher]
    said = sentence('train', arguments, capsys)
    assert f'--launcher {launcher} is for processes started by' in said


@pytest.mark.parametrize(
    ('out', 'expected'),
    [
        ('{0}/a.json', 'must be a file, *.pkl'),
        ('{0}/folder.pkl', 'must be a file, *.pkl'),
        ('{0}/taken/a.pkl', 'taken is no folder'),
    ],
)
def test_predictions_file(
    out: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Said before config and checkpoint are looked at."""
    (tmp_path / 'taken').touch()
    (tmp_path / 'folder.pkl').mkdir()
    said = sentence('test', ['a.py', 'a.pth', '--out', out.format(tmp_path)], capsys)
    assert expected in said


def test_misspelt_setting_of_ours(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = tmp_path / 'misspelt.py'
    config.write_text(
        f'_base_ = [{str(tiny_config)!r}]\n'
        "model = dict(type='QRPaQDINO', pattern_query=dict(\n"
        "    type='PatternQueryGenerator', num_pattern=5))\n"
    )
    said = sentence('train', [config, '--work-dir', tmp_path / 'run'], capsys)
    assert 'model.pattern_query.num_pattern is unknown: PatternQueryGenerator' in said


@pytest.mark.parametrize('variable', ['RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'])
def test_every_process_says_why_it_failed(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fail() -> None:
        raise ConfigError('nothing fits.')

    for rank, expected in (
        ('1', 'error in process 1: nothing fits.\n'),
        ('0', '\nerror: nothing fits.\n'),
    ):
        monkeypatch.setenv(variable, rank)
        with pytest.raises(SystemExit):
            run(fail)
        assert capsys.readouterr().err == expected


def test_missing_images(
    tiny_config: Path, dataset_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = tmp_path / 'data'
    shutil.copytree(dataset_root, root)
    (root / 'images' / 'train_1.png').unlink()
    (root / 'images' / 'train_3.png').unlink()
    arguments = [tiny_config, '--work-dir', tmp_path / 'run', '--cfg-options']
    option = f'train_dataloader.dataset.data_root={root}'
    said = sentence('train', [*arguments, option], capsys)
    assert '2 of the 4 images' in said
    assert 'train_1.png' in said


def test_model_settings_name_only_the_innermost_sentence(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Registries may put ``class `X` in ...`` before it."""
    config = tmp_path / 'no_patterns.py'
    config.write_text(
        f'_base_ = [{str(tiny_config)!r}]\n'
        "model = dict(type='QRPaQDINO', pattern_query=dict(\n"
        "    type='PatternQueryGenerator', num_patterns=0))\n"
    )
    said = sentence('train', [config, '--work-dir', tmp_path / 'run'], capsys)
    assert 'num_patterns' in said
    assert 'class `' not in said


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_checkpoint_of_another_model(
    tool: str,
    tiny_config: Path,
    tiny_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    checkpoint = [tiny_run / 'epoch_1.pth']
    flags = checkpoint if tool == 'test' else ['--resume', *checkpoint]
    arguments = [tiny_config, *flags, '--work-dir', tmp_path, '--cfg-options']
    said = sentence(tool, [*arguments, 'model.decoder.num_layers=3'], capsys)
    assert 'epoch_1.pth does not fit' in said
    assert 'parameters missing (first bbox_head.cls_branches.3.' in said
    # Fewer layers: everything the model wants is there, and yet it is not the model.
    said = sentence(tool, [*arguments, 'model.decoder.num_layers=1'], capsys)
    assert 'unknown to the model (first ' in said


def test_start_from_unrelated_weights(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / 'other.pth'
    torch.save({'state_dict': {'weight': torch.zeros(3)}}, path)
    arguments = [tiny_config, '--work-dir', tmp_path, '--cfg-options']
    said = sentence('train', [*arguments, f'load_from={path}'], capsys)
    assert 'gives only 0 of' in said


def test_resume_needs_more_than_weights(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / 'weights.pth'
    torch.save({'state_dict': {'weight': torch.zeros(3)}}, path)
    arguments = [tiny_config, '--work-dir', tmp_path, '--resume', path]
    assert 'no optimizer, message_hub' in sentence('train', arguments, capsys)


def test_evaluator_with_other_annotations(
    tiny_config: Path, dataset_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    truth = json.loads((dataset_root / 'val.json').read_text())
    del truth['images'][1:]
    path = tmp_path / 'part.json'
    path.write_text(json.dumps(truth))
    arguments = [tiny_config, '--work-dir', tmp_path, '--cfg-options']
    said = sentence('train', [*arguments, f'val_evaluator.ann_file={path}'], capsys)
    assert 'lacks 2 images' in said


def test_from_the_shell(tmp_path: Path) -> None:
    """The real command, from a folder where nothing is installed or lies around."""
    done = subprocess.run(
        [sys.executable, str(TOOLS / 'train.py'), 'absent.py'],
        cwd=tmp_path,
        env={**os.environ, 'CUDA_VISIBLE_DEVICES': '-1'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert 'error: config absent.py does not exist' in done.stderr
    assert 'Traceback' not in done.stderr


def test_ctrl_c_is_no_traceback(capsys: pytest.CaptureFixture) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        run(stopped)
    assert stop.value.code == 130
    assert capsys.readouterr().err == '\nStopped.\n'


def test_bugs_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)


def test_innermost_sentence_wins(capsys: pytest.CaptureFixture) -> None:
    def build() -> None:
        try:
            raise ConfigError('num_patterns is 0; use at least 1.')
        except ConfigError as error:  # what registries of older mmengine do
            raise type(error)(f'class `X` in x.py: {error}') from None

    with pytest.raises(SystemExit):
        run(build)
    assert (
        capsys.readouterr().err.strip() == 'error: num_patterns is 0; use at least 1.'
    )


def test_a_sentence_made_from_another_is_the_one(capsys: pytest.CaptureFixture) -> None:
    def build() -> None:
        try:
            try:
                raise ConfigError('folder data/ does not exist; put it there.')
            except ConfigError as error:
                raise ConfigError('no threshold is known; give --threshold.') from error
        except ConfigError as error:
            raise type(error)(f'class `X` in x.py: {error}') from None

    with pytest.raises(SystemExit):
        run(build)
    told = capsys.readouterr().err.strip()
    assert told == 'error: no threshold is known; give --threshold.'
