"""The report: which parts it makes, keeps and leaves out, and what its page holds."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from mmdet_qrpaq.analysis.detections.overview import (
    describe_models,
    draw_precision,
    evaluate_models,
)
from mmdet_qrpaq.analysis.report import parts as report
from mmdet_qrpaq.analysis.report.measures import find_logs
from mmdet_qrpaq.analysis.report.page import render_page
from mmdet_qrpaq.analysis.report.parts import Section, Table, make_parts
from mmdet_qrpaq.analysis.report.tables import model_tables, precision_tables
from mmdet_qrpaq.analysis.trained_detector import TrainedModel
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.records.schema import COUNT, fields
from mmdet_qrpaq.runtime.building import build_model
from mmdet_qrpaq.runtime.configs import read_config
from reference.html_page import CHROMIUM, check_in_a_browser, check_page
from tiny_runs import CLASSES, CONFIG, TOOLS, load_tool, write_dataset

sys.path[:0] = [str(TOOLS / 'analysis'), str(TOOLS)]

METHODS = """\
_base_ = [{base!r}]
model = dict(
    type='QRPaQDINO',
    query_routing=dict(schedule=('layer', 'self_attn')),
    pattern_query=dict(type='PatternQueryGenerator', num_patterns=5, hidden_dims=16))
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A tiny host and a model with both methods, their random weights, and data."""
    folder = tmp_path_factory.mktemp('report')
    root = write_dataset(folder / 'data', num_train=0, num_val=3)
    host, ours = folder / 'host.py', folder / 'ours.py'
    host.write_text(CONFIG.format(classes=CLASSES, root=str(root)))
    ours.write_text(METHODS.format(base=str(host)))
    for path in (host, ours):
        torch.manual_seed(0)
        detector = build_model(read_config(str(path)))
        detector.init_weights()
        torch.save(dict(state_dict=detector.state_dict()), path.with_suffix('.pth'))
    return folder


@pytest.fixture
def models(folder):
    return [
        TrainedModel(name, str(path), str(path.with_suffix('.pth')), cfg)
        for name in ('host', 'ours')
        for path in [folder / f'{name}.py']
        for cfg in [read_config(str(path))]
    ]


class Fake:
    """A section that counts how often it is measured, and does what it is told."""

    def __init__(self, outcome=None):
        self.outcome, self.calls = outcome, []

    def measure(self, models, **options):
        self.calls.append([model.name for model in models])
        if self.outcome is not None:
            raise self.outcome
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([0, 1])
        return dict(answer=42), figure

    def section(self, name='fake', **changes):
        settings = dict(
            name=name,
            title=f'Section {name}',
            how='Asked <twice>.',
            shows='A line that rises from left to right.',
            measure=self.measure,
            schema=fields(answer=COUNT),
            tables=lambda numbers: [
                Table('Answers', ('model', 'n'), [['x & y', str(numbers['answer'])]])
            ],
            options=dict(threshold=0.5),
        )
        return Section(**settings | changes)


def parts_of(sections, models, folder):
    return list(make_parts(sections, models, folder, announce=lambda _: None))


def test_one_that_fails_or_does_not_apply_leaves_the_others_alone(models, tmp_path):
    good, bad, none = Fake(), Fake(KeyError('hm')), Fake(ConfigError('no patterns.'))
    sections = [
        bad.section('bad'),
        none.section('none', each=True),
        good.section('good'),
    ]
    parts = parts_of(sections, models, tmp_path / 'files')
    assert [(part.section.name, part.status, part.sentence) for part in parts] == [
        ('bad', report.FAILED, "KeyError: 'hm'"),
        ('none', report.NOT_APPLICABLE, 'no patterns.'),
        ('none', report.NOT_APPLICABLE, 'no patterns.'),
        ('good', report.MADE, ''),
    ]
    assert none.calls == [['host'], ['ours']]
    assert good.calls == [['host', 'ours']]
    files = sorted(path.name for path in (tmp_path / 'files').iterdir())
    assert files == ['good.json', 'good.png']
    page = check_page(render_page('A & B', 'report.py --x <y>', parts))
    for words in ('A & B', 'report.py --x <y>', 'Asked <twice>.', 'x & y', '42'):
        assert words in page.text
    assert 'Failed: KeyError' in page.text.replace('\n', ' ')
    assert page.text.count('Does not apply: no patterns.') == 2
    assert '(does not apply)' in page.text  # in the list of sections
    assert len(page.images) == 1


def test_results_are_kept_while_their_origin_is_the_same(models, tmp_path):
    fake = Fake()

    def run(section=None):
        fake.calls.clear()
        (part,) = parts_of([section or fake.section()], models[:1], tmp_path)
        return part.status, len(fake.calls)

    assert run() == (report.MADE, 1)
    assert run() == (report.REUSED, 0)
    assert run(fake.section(options=dict(threshold=0.6))) == (report.MADE, 1)
    assert run() == (report.MADE, 1)
    (tmp_path / 'fake.png').unlink()
    assert run() == (report.MADE, 1)
    (tmp_path / 'fake.json').write_text('{"tool": ')
    assert run() == (report.MADE, 1)
    models[0].cfg.model.test_cfg.max_per_img = 7
    assert run() == (report.MADE, 1)
    assert run() == (report.REUSED, 0)


@pytest.mark.parametrize('changed', ['weights', 'annotations'])
def test_other_weights_or_annotations_are_measured_anew(changed, models, tmp_path):
    model, fake = models[0], Fake()
    weights = tmp_path / 'weights.pth'
    shutil.copy(model.checkpoint, weights)
    model.checkpoint = str(weights)
    annotations = tmp_path / 'val.json'
    shutil.copy(model.dataloader.dataset.ann_file, annotations)
    model.dataloader.dataset.ann_file = str(annotations)
    parts_of([fake.section()], [model], tmp_path / 'files')
    with (weights if changed == 'weights' else annotations).open('ab') as file:
        file.write(b' ')
    (part,) = parts_of([fake.section()], [model], tmp_path / 'files')
    assert (part.status, len(fake.calls)) == (report.MADE, 2)


def test_models_whose_names_make_one_file_name_are_kept_apart(models, tmp_path):
    models[0].name, models[1].name = 'a b', 'a/b'
    parts = parts_of([Fake().section(each=True)], models, tmp_path)
    assert [part.file.name for part in parts] == ['fake-1-a_b.json', 'fake-2-a_b.json']
    page = check_page(render_page('t', 'c', parts))
    assert len(page.images) == 2


def command(folder, *more):
    host, ours = folder / 'host', folder / 'ours'
    words = [f'{host}.py', f'{host}.pth', '--name', 'host', '--also', 'ours']
    return [str(word) for word in (*words, f'{ours}.py', f'{ours}.pth', *more)]


CHEAP = ['overview', 'precision', 'query_usage', 'routing', 'curves', 'side_by_side']


def test_report_of_two_models_through_the_command(folder, tmp_path, capsys):
    tool, out = load_tool('analysis/report'), tmp_path / 'new' / 'report.html'
    options = ['--out', str(out), '--num-pictures', '2', '--only', *CHEAP]
    tool.main(command(folder, *options))
    page = check_page(out.read_text())
    files = out.parent / 'report_files'
    text = ' '.join(page.text.split())
    # What is in the files is in the page.
    overview = json.loads((files / 'overview.json').read_text())['numbers']
    assert [row['methods'] for row in overview['models']] == [
        [],
        ['query routing', 'patterns'],
    ]
    (data,) = overview['data']
    assert data['models'] == ['host', 'ours']
    assert data['sizes'] == dict(small=6, medium=0, large=0)
    assert data['classes'] == dict(square=3, disc=3)
    usage = json.loads((files / 'query_usage.json').read_text())['numbers']
    for row in usage['models']:
        assert f'{row["gini"]:.3f}' in text
    routing = json.loads((files / 'routing-2-ours.json').read_text())
    assert routing['numbers']['num_images'] == 3
    assert [m['name'] for m in routing['origin']['models']] == ['ours']
    assert 'Does not apply: there is no query routing to count' in text
    assert 'Does not apply: there is no training log' in text
    assert len(page.images) == 4
    printed = capsys.readouterr().out
    assert '[4/7] Query routing of host' in printed
    # Nothing is measured twice.
    before = {path: path.stat().st_mtime_ns for path in files.iterdir()}
    tool.main(command(folder, *options))
    assert {path: path.stat().st_mtime_ns for path in files.iterdir()} == before
    if CHROMIUM:
        check_in_a_browser(out, tmp_path, images=4, sections=len(CHEAP))


def test_a_failing_section_is_told_in_page_and_exit_status(
    folder, tmp_path, monkeypatch, capsys
):
    tool, out = load_tool('analysis/report'), tmp_path / 'report.html'
    bad = Fake(RuntimeError('out of luck'))
    sections = [bad.section(), Fake().section('good')]
    name = 'mmdet_qrpaq.analysis.report.sections.list_sections'
    monkeypatch.setattr(name, lambda *_: sections)
    with pytest.raises(SystemExit) as stop:
        tool.main(command(folder, '--out', str(out)))
    assert stop.value.code == 1
    assert 'error: failed: Section fake' in capsys.readouterr().err
    page = check_page(out.read_text())
    assert 'RuntimeError: out of luck' in page.text
    assert len(page.images) == 1


def test_there_is_no_ap_of_some_of_the_evaluators_pictures(models):
    models[0].cfg.val_dataloader.dataset.indices = 2
    with pytest.raises(ConfigError, match='knows 3 pictures and the data loader 2'):
        evaluate_models(models[:1])


def test_a_class_that_never_occurs_is_named_and_has_no_ap(models, tmp_path):
    annotations = json.loads(Path(models[0].dataloader.dataset.ann_file).read_text())
    squares = [a for a in annotations['annotations'] if a['category_id'] == 1]
    path = tmp_path / 'squares.json'
    path.write_text(json.dumps(annotations | dict(annotations=squares)))
    cfg = models[0].cfg
    cfg.val_dataloader.dataset.ann_file = cfg.val_evaluator.ann_file = str(path)
    model = TrainedModel('host', models[0].config, models[0].checkpoint, cfg)
    (row,) = evaluate_models([model])['models']
    assert row['classes']['disc'] is None and row['classes']['square'] is not None
    assert row['AP']['APm'] is None and row['AP']['APs'] is not None
    _, data = model_tables(describe_models([model]))
    assert data.caption == 'Data of host: 3 objects in 3 pictures; never there: disc'


def test_classes_of_different_data_are_not_mixed_up():
    def row(name, num_images, **classes):
        ap = dict.fromkeys(('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl'), 0.5)
        more = dict(num_images=num_images, AP_with_nms=0.5)
        return dict(name=name, AP=ap, classes=classes, **more)

    models = [row('a', 3, cat=0.1, dog=0.2), row('b', 3, cat=0.3, dog=0.4)]
    _, both = precision_tables(dict(models=models))
    assert both.columns == ['model', 'cat', 'dog'] and len(both.rows) == 2
    axes = draw_precision(dict(models=models)).axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()][6:] == ['cat', 'dog']

    models.append(row('c', 4, dog=0.5, cat=0.6))
    _, both, other = precision_tables(dict(models=models))
    assert len(both.rows) == 2
    assert other.columns == ['model', 'dog', 'cat']
    assert [cells[0] for cells in other.rows] == ['c']
    axes = draw_precision(dict(models=models)).axes[0]
    assert len(axes.get_xticklabels()) == 6
    assert axes.get_title(loc='left') == '3 and 4 pictures'


def test_curves_of_a_training_that_went_on_are_drawn_anew(models, tmp_path):
    models[0].checkpoint = str(tmp_path / 'epoch_4.pth')
    assert find_logs(models[:1]) == {'host': None}
    log = tmp_path / '20300101_000000' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('{"loss": 1.0}')
    before = find_logs(models[:1])
    assert before['host']['folder'] == str(tmp_path)
    log.write_text('{"loss": 1.0}\n{"loss": 0.5}')
    assert find_logs(models[:1]) != before


@pytest.mark.parametrize(
    ('more', 'words'),
    [
        (['--out', 'report.json'], 'does not end in .html'),
        (['--out', '/proc/x/report.html'], 'cannot be written'),
        (['--num-pictures', '0'], '--num-pictures is 0'),
        (['--score-threshold', '2'], 'between 0 and 1'),
        (['--also', 'host', 'x.py', 'x.pth'], "two models have the name 'host'"),
        (['--also', 'x', 'x.py', 'x.pth'], 'config x.py does not exist'),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_measured(
    folder, tmp_path, monkeypatch, more, words
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words):
        load_tool('analysis/report').main(command(folder, *more))
    assert not list(tmp_path.iterdir())
