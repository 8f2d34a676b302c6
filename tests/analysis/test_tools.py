"""What the analysis tools refuse before their work, and how runs are told apart."""

import json
from functools import partial
from pathlib import Path

import pytest

from mmdet_qrpaq.analysis.command_line import main, parse_args
from mmdet_qrpaq.analysis.detections.section import SIDE_BY_SIDE
from mmdet_qrpaq.analysis.queries.section import USAGE
from mmdet_qrpaq.analysis.report.command import main as report_main
from mmdet_qrpaq.analysis.routing.section import ROUTING
from mmdet_qrpaq.analysis.trained_detector import read_models
from mmdet_qrpaq.analysis.training.section import CURVES
from mmdet_qrpaq.errors import ConfigError
from tiny_runs import CLASSES, CONFIG, save_untrained, write_dataset

NO_CHECKPOINT = 'none.pth'  # every refusal below comes before it is missed


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / 'data', num_train=0, num_val=2)


@pytest.fixture
def config(tmp_path: Path, dataset: Path) -> str:
    path = tmp_path / 'tiny.py'
    path.write_text(CONFIG.format(classes=CLASSES, root=str(dataset)))
    return str(path)


@pytest.mark.parametrize('section', [USAGE, SIDE_BY_SIDE])
@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (lambda root: (root / 'val.json').write_text('{"imag'), 'readable as JSON'),
        (lambda root: (root / 'images' / 'val_1.png').unlink(), '1 of the 2 images'),
        (lambda root: None, f'{NO_CHECKPOINT} does not exist'),
    ],
)
def test_data_is_checked_before_the_checkpoint(config, dataset, section, damage, words):
    damage(dataset)
    with pytest.raises(ConfigError, match=words):
        main(section, '', [config, NO_CHECKPOINT])


@pytest.mark.parametrize(
    ('section', 'option'),
    [
        (USAGE, '--score-threshold'),
        (USAGE, '--iou-threshold'),
        (SIDE_BY_SIDE, '--score-threshold'),
        (SIDE_BY_SIDE, '--iou-threshold'),
    ],
)
@pytest.mark.parametrize('value', ['7', '-3', 'nan'])
def test_thresholds_outside_their_range(section, option, value, capsys):
    with pytest.raises(SystemExit) as stop:
        main(section, '', ['c.py', NO_CHECKPOINT, f'{option}={value}'])
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert f'{option}: must be' in told and f'between 0 and 1, got {value}' in told


@pytest.mark.parametrize(
    ('setting', 'words'),
    [
        ('val_dataloader.batch_size=0', 'val_dataloader cannot be built: batch_size'),
        ('val_dataloader.dataset.type=Nothing', "'Nothing' is not in the registry"),
        ('val_dataloader.sampler.speed=3', 'val_dataloader.sampler.speed is unknown'),
    ],
)
def test_a_data_loader_that_cannot_be_built(config, tmp_path, setting, words):
    save_untrained(Path(config), tmp_path / 'a.pth')
    with pytest.raises(ConfigError, match=words):
        main(USAGE, '', [config, str(tmp_path / 'a.pth'), '--cfg-options', setting])


def log(work_dir: Path, loss: float) -> str:
    folder = work_dir / '20260101_000000' / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text(json.dumps(dict(loss=loss, iter=1, step=1)))
    return str(work_dir)


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('x.png', 'does not end in .json'),
        ('x', 'does not end in .json'),
        ('file/x.json', 'cannot be written'),
        ('folder.json', 'cannot be written'),
        ('/proc/x/y.json', 'cannot be written'),
    ],
)
def test_results_that_cannot_be_written(tmp_path, name, words):
    (tmp_path / 'file').write_text('kept')
    (tmp_path / 'folder.png').mkdir()
    out = ['--out', str(tmp_path / name)]
    with pytest.raises(ConfigError, match=words):
        main(CURVES, '', ['nowhere', *out])
    for section in (SIDE_BY_SIDE, USAGE, ROUTING):
        with pytest.raises(ConfigError, match=words):
            main(section, '', ['c.py', NO_CHECKPOINT, *out])
    assert (tmp_path / 'file').read_text() == 'kept'


def test_there_is_no_folder_beside_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ['c.py', 'https://example.org/a.pth']
    for call in (partial(main, USAGE), report_main):
        with pytest.raises(ConfigError, match='no folder beside https://example.org/a'):
            call('', words)
    # With a place, the next mistake is told.
    with pytest.raises(ConfigError, match='c.py does not exist'):
        main(USAGE, '', [*words, '--out', 'out.json'])
    assert not list(tmp_path.iterdir())


def test_refused_run_leaves_no_folder(tmp_path):
    with pytest.raises(ConfigError, match='no training log'):
        main(CURVES, '', [str(tmp_path), '--out', str(tmp_path / 'new' / 'x.json')])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('second', ['run', 'other'])
def test_runs_are_named_apart(tmp_path, second):
    out = tmp_path / 'new' / 'curves.json'
    paths = [log(tmp_path / 'a' / 'run', 2.0), log(tmp_path / 'b' / second, 1.0)]
    main(CURVES, '', [*paths, '--out', str(out)])
    result = json.loads(out.read_text())
    assert result['origin']['work_dirs'] == paths
    names = paths if second == 'run' else ['run', 'other']
    runs = result['numbers']['runs']
    assert [run['name'] for run in runs] == names
    assert [run['loss']['value'] for run in runs] == [[2.0], [1.0]]
    assert out.with_suffix('.png').stat().st_size > 10_000


def test_every_run_needs_a_name(tmp_path):
    path = log(tmp_path / 'run', 2.0)
    with pytest.raises(ConfigError, match='2 names for 1 work directories'):
        main(CURVES, '', [path, '--names', 'a', 'b'])


def test_models_are_read_in_order_with_common_changes(config):
    words = [config, 'a.pth', '--also', 'ours', config, 'b.pth']
    words += ['--cfg-options', 'model.num_queries=7', '--split', 'test']
    models = read_models(parse_args(USAGE, '', words))
    assert [(m.name, m.checkpoint, m.split) for m in models] == [
        ('tiny', 'a.pth', 'test'),
        ('ours', 'b.pth', 'test'),
    ]
    assert [m.cfg.model.num_queries for m in models] == [7, 7]


def test_two_models_of_one_name_are_refused(config):
    words = [config, 'a.pth', '--also', 'tiny', config, 'b.pth']
    with pytest.raises(ConfigError, match="two models have the name 'tiny'"):
        main(SIDE_BY_SIDE, '', words)
