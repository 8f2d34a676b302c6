"""`tools/test.py --report`: a page, numbers, and what goes beside the checkpoint."""

import csv
import json
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
    settings = ('test_evaluator.ann_file', 'test_dataloader.dataset.ann_file')
    return ['--cfg-options', *(f'{setting}={truth}' for setting in settings)]


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
    tool, work_dir = load_tool('test'), ['--work-dir', str(tmp_path / 'work')]
    for path, weights, words, sentence in (
        (tiny_config, checkpoint, ['--report', '--tta'], '--tta merges views'),
        (tiny_config, checkpoint, ['--report', str(tmp_path / 'file')], 'is no folder'),
        (tiny_config, other, ['--report'], 'other.pth.operating_points.json cannot'),
        (config, checkpoint, ['--report'], 'loads no ground truth'),
    ):
        with pytest.raises(ValueError, match=sentence):
            tool.main([str(path), str(weights), *work_dir, *words])
    assert not (tmp_path / 'work' / 'report').exists()
