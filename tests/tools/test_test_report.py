"""`tools/test.py --report`: a page, numbers, and what goes beside the checkpoint."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from mmdet_qrpaq import operating_points
from mmdet_qrpaq.analysis.report.of_test import SECTIONS
from mmdet_qrpaq.records.metrics import AP_NAMES
from reference.html_page import check_page
from tiny_runs import (
    believe,
    load_tool,
    metrics,
    predictions,
    run_script,
    run_tool,
    save_untrained,
)


@pytest.fixture(scope='module')
def checkpoint(tiny_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('report') / 'tiny.pth'
    save_untrained(tiny_config, path)
    return path


@pytest.fixture(scope='module')
def truth(tiny_config: Path, checkpoint: Path, dataset_root: Path) -> Path:
    """An annotation file that the untrained model is half right about."""
    found, path = checkpoint.with_name('found.pkl'), checkpoint.with_name('truth.json')
    work_dir = str(checkpoint.with_name('first'))
    run_tool('test', tiny_config, checkpoint, '--work-dir', work_dir, '--out', found)
    believe(predictions(found), dataset_root / 'val.json', path)
    return path


@pytest.fixture
def of_truth(truth: Path) -> list[str]:
    settings = ('evaluator.ann_file', 'dataloader.dataset.ann_file')
    stages = ('val', 'test')
    return ['--cfg-options', *(f'{s}_{x}={truth}' for s in stages for x in settings)]


def numbers(folder: Path, name: str) -> dict:
    return json.loads((folder / f'{name}.json').read_text())['numbers']


def test_page_numbers_and_operating_points(
    tiny_config: Path, checkpoint: Path, of_truth: list[str], tmp_path: Path, capsys
) -> None:
    work_dir, folder = tmp_path / 'work', tmp_path / 'work' / 'report'
    words = [tiny_config, checkpoint, '--work-dir', work_dir, '--report', *of_truth]
    run_tool('test', *words, 'test_evaluator.type=FastCocoMetric')
    told = capsys.readouterr().out
    assert '\n  failed' not in told
    path = operating_points.path_of(checkpoint)
    assert f'{path}: thresholds of this test' in told and 'truth.json, 3 images' in told
    names = {section.name for section in SECTIONS}
    files = {path.name for path in folder.iterdir()}
    assert {f'{name}.json' for name in names} < files
    assert not [name for name in files if name.endswith('.tmp')]
    page = check_page((folder / 'report.html').read_text())
    for section in SECTIONS:
        assert section.title in page.text
    # AP at IoU 0.5 is what the evaluator of the same run says, to its three digits.
    found = numbers(folder, 'thresholds')
    (model,) = found['models']
    curves = [c['precision'] for c in model['curves'].values() if c['precision']]
    ap = sum(sum(curve) / 101 for curve in curves) / len(curves)
    said = metrics(work_dir)[f'coco/{AP_NAMES["AP50"]}']
    assert 0.1 < said < 0.9 and ap == pytest.approx(said, abs=6e-4)
    assert numbers(folder, 'error_types')['models'][0]['ap'] == pytest.approx(ap)
    points = operating_points.read(checkpoint)
    assert points.overall.threshold == model['overall']['threshold']
    assert (points.ann_file, points.num_images) == ('truth.json', 3)
    rows = list(csv.DictReader((folder / 'thresholds.csv').open()))
    assert [row['class'] for row in rows] == ['', 'square', 'disc']
    assert float(rows[2]['threshold']) == points.threshold_of('disc')
    # The report of any model, which runs it over the images by itself, says the same.
    out = tmp_path / 'by_itself.html'
    words = ['--split', 'test', '--out', out, '--name', tiny_config.stem, *of_truth]
    only = ['--only', 'thresholds', 'confusion', 'error_types', 'calibration']
    words = [tiny_config, checkpoint, *words, *only]
    run_script('analysis/report', *words)
    for name in only[1:]:
        kept = numbers(tmp_path / 'by_itself_files', name)
        assert kept == numbers(folder, name)


def test_thresholds_of_other_images_do_not_replace_those_of_the_validation(
    tiny_config: Path, checkpoint: Path, of_truth: list[str], tmp_path: Path, capsys
) -> None:
    """They stay in the report's folder, and one line says why."""
    mine = tmp_path / 'mine.pth'
    mine.write_bytes(checkpoint.read_bytes())
    kept = operating_points.path_of(mine)
    words = [tiny_config, mine, '--work-dir', tmp_path / 'work', '--report']
    of_val = [option for option in of_truth if not option.startswith('test')]
    line = 'Thresholds are not kept beside the checkpoint: '
    # The test's images are those of val.json, the validation's of truth.json.
    run_tool('test', *words, *of_val)
    assert f'{line}these are not the validation' in capsys.readouterr().out
    assert not kept.exists()
    assert (tmp_path / 'work' / 'report' / 'thresholds.csv').exists()
    run_tool('test', *words, '--split', 'val', *of_val)
    assert line not in capsys.readouterr().out
    assert operating_points.read(mine).ann_file == 'truth.json'
    before = kept.read_bytes()
    run_tool('test', *words, *of_truth, 'model.test_cfg.max_per_img=0')
    assert f'{line}nothing found is right.' in capsys.readouterr().out
    assert kept.read_bytes() == before


def test_thresholds_of_a_folder_are_those_of_its_validation(
    tiny_config: Path, checkpoint: Path, dataset_root: Path, tmp_path: Path, capsys
) -> None:
    """`--data` with a split to test: not kept, but with `--split val`."""
    mine = tmp_path / 'mine.pth'
    mine.write_bytes(checkpoint.read_bytes())
    folder = tmp_path / 'folder'
    for split in ('train', 'val', 'test'):
        images = folder / split
        shutil.copytree(dataset_root / 'images', images)
        source = 'train' if split == 'train' else 'val'
        (folder / f'{split}.json').write_bytes(
            (dataset_root / f'{source}.json').read_bytes()
        )
    words = [tiny_config, mine, '--work-dir', tmp_path / 'work', '--report']
    run_tool('test', *words, '--data', folder)
    assert 'these are not the validation images' in capsys.readouterr().out
    run_tool('test', *words, '--data', folder, '--split', 'val')
    assert 'these are not' not in capsys.readouterr().out


def test_mistakes_are_told_before_the_test_runs(
    tiny_config: Path, checkpoint: Path, tmp_path: Path, monkeypatch
) -> None:
    config = tmp_path / 'blind.py'
    config.write_text(
        f"""_base_ = {str(tiny_config)!r}
image, resize, _, pack = _base_.test_dataloader.dataset.pipeline
test_dataloader = dict(dataset=dict(pipeline=[image, resize, pack]))
"""
    )
    (tmp_path / 'file').touch()
    other = tmp_path / 'other.pth'
    other.write_bytes(checkpoint.read_bytes())
    operating_points.path_of(other).mkdir()
    analysis = tmp_path / 'analysis'
    analysis.mkdir()
    (analysis / 'report.html').write_text('<title>Analysis of tiny</title>')
    tool, work_dir = load_tool('test'), ['--work-dir', str(tmp_path / 'work')]
    for path, weights, words, sentence in (
        (tiny_config, checkpoint, ['--report', '--tta'], '--tta merges views'),
        (tiny_config, checkpoint, ['--report', str(tmp_path / 'file')], 'is no folder'),
        (tiny_config, other, ['--report'], 'other.pth.operating_points.json cannot'),
        (config, checkpoint, ['--report'], 'loads no ground truth'),
        (tiny_config, checkpoint, ['--report', str(analysis)], 'is another page than'),
    ):
        with pytest.raises(ValueError, match=sentence):
            tool.main([str(path), str(weights), *work_dir, *words])
    assert not (tmp_path / 'work' / 'report').exists()
