"""The report: which parts it makes, keeps and leaves out, and what its page holds."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from matplotlib.figure import Figure

from mmdet_qrpaq.analysis.measuring import write_measured
from mmdet_qrpaq.analysis.report import command as report_command
from mmdet_qrpaq.analysis.report import parts as report
from mmdet_qrpaq.analysis.report.page import render_page
from mmdet_qrpaq.analysis.report.parts import make_parts
from mmdet_qrpaq.analysis.section import Section
from mmdet_qrpaq.analysis.subjects import Models
from mmdet_qrpaq.analysis.trained_detector import TrainedModel
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.records.schema import COUNT, fields
from mmdet_qrpaq.records.tables import Table
from mmdet_qrpaq.runtime.building import build_model
from mmdet_qrpaq.runtime.configs import read_config
from reference.html_page import CHROMIUM, check_in_a_browser, check_page
from tiny_runs import CLASSES, CONFIG, METHODS, write_dataset


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
    """The work of a section, which counts its calls and does what it is told."""

    SCHEMA = fields(answer=COUNT)

    def __init__(self, outcome=None):
        self.outcome, self.calls = outcome, []

    def measure(self, models, **options):
        self.calls.append([model.name for model in models])
        if self.outcome is not None:
            raise self.outcome
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([0, 1])
        return dict(answer=42), figure

    def tables(self, numbers):
        rows = [['x & y', str(numbers['answer'])]]
        return [Table('Answers', ('model', 'n'), rows, notes=['As it <is>.'])]

    def section(self, name='fake', options=None, **changes):
        settings = dict(
            name=name,
            title=f'Section {name}',
            how='Asked <twice>.',
            shows='A line that rises from left to right.',
            module='',
        )
        made = type('Made', (Section,), dict(work=self))(**settings | changes)
        return made, options or dict(threshold=0.5)


class Watching(Fake):
    """One that looks on."""

    measure = None

    def __init__(self, outcome=None, fails_at=None):
        super().__init__(outcome)
        self.fails_at = fails_at

    def observe(self, models, **options):
        if self.outcome is not None:
            raise self.outcome
        return [self.watch(model) for model in models]

    def watch(self, model):
        self.calls.append(model.name)
        seen = []

        def see(batch):
            if self.fails_at == len(seen):
                raise RuntimeError('no more')
            seen.append([sample.img_id for sample in batch.samples])

        return SimpleNamespace(images=None, see=see, seen=seen)

    def conclude(self, models, observers):
        return dict(answer=sum(map(len, (o.seen for o in observers)))), None


def parts_of(sections, models, folder):
    return list(make_parts(sections, models, folder))


def test_one_that_fails_or_does_not_apply_leaves_the_others_alone(models, tmp_path):
    good, bad, none = Fake(), Fake(KeyError('hm')), Fake(ConfigError('no patterns.'))
    sections = [
        bad.section('bad'),
        none.section('none', subject=Models(each=True)),
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
    told = (
        'A & B',
        'report.py --x <y>',
        'Asked <twice>.',
        'x & y',
        '42',
        'As it <is>.',
    )
    for words in told:
        assert words in page.text
    assert 'Failed: KeyError' in page.text.replace('\n', ' ')
    assert page.text.count('Does not apply: no patterns.') == 2
    assert '(does not apply)' in page.text  # in the list of sections
    assert len(page.images) == 1


def test_results_are_kept_while_their_origin_is_the_same(models, tmp_path):
    fake = Fake()

    def run(section=None):
        fake.calls.clear()
        model = dataclasses.replace(models[0])
        (part,) = parts_of([section or fake.section()], [model], tmp_path)
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


def test_sections_that_look_on_share_one_run_and_fail_alone(models, tmp_path):
    one, bad, late = Watching(), Watching(ConfigError('not it.')), Watching(fails_at=1)
    alone, runs = Watching(), []
    for model in models:
        model.cfg.val_dataloader.batch_size = 2
        forward = model.detector.forward

        def count(*args, forward=forward, **kwargs):
            runs.append(1)
            return forward(*args, **kwargs)

        model.detector.forward = count
    sections = [
        one.section('one', shows=''),
        bad.section('bad', shows=''),
        late.section('late', shows=''),
        alone.section('alone', subject=Models(each=True), shows=''),
    ]
    parts = parts_of(sections, models, tmp_path)
    assert [(part.section.name, part.status) for part in parts] == [
        ('one', report.MADE),
        ('bad', report.NOT_APPLICABLE),
        ('late', report.FAILED),
        ('alone', report.MADE),
        ('alone', report.MADE),
    ]
    assert len(runs) == 2 * 2  # models, batches of three images
    assert parts[2].sentence == 'RuntimeError: no more'
    numbers = [json.loads(p.file.read_text())['numbers'] for p in parts if p.tables]
    assert [n['answer'] for n in numbers] == [4, 2, 2]  # batches seen


def test_what_a_script_has_left_is_taken_over(models, tmp_path):
    model, fake = models[0], Fake()
    shutil.copy(model.checkpoint, tmp_path / 'weights.pth')
    model.checkpoint = str(tmp_path / 'weights.pth')
    # As the script does it: beside the checkpoint.
    (made,) = parts_of([fake.section()], [model], tmp_path)
    (part,) = parts_of([fake.section()], [model], tmp_path / 'report_files')
    assert (part.status, part.file) == (report.REUSED, made.file)
    assert part.figure and part.tables and len(fake.calls) == 1
    # Other options are another measurement.
    other = fake.section(options=dict(threshold=0.6))
    (part,) = parts_of([other], [model], tmp_path / 'report_files')
    assert part.status == report.MADE
    assert part.file.parent == tmp_path / 'report_files'


@pytest.mark.parametrize('wrapped', [False, True])
@pytest.mark.parametrize('changed', ['weights', 'annotations', 'evaluator'])
def test_other_weights_or_annotations_are_measured_anew(
    changed, wrapped, models, tmp_path
):
    (known, *_), fake = models, Fake()
    weights = tmp_path / 'weights.pth'
    shutil.copy(known.checkpoint, weights)
    val = known.cfg.val_dataloader.dataset
    files = {name: tmp_path / f'{name}.json' for name in ('annotations', 'evaluator')}
    for file in files.values():
        shutil.copy(known.cfg.val_evaluator.ann_file, file)
    val.ann_file = str(files['annotations'])
    known.cfg.val_evaluator.ann_file = str(files['evaluator'])
    if wrapped:
        known.cfg.val_dataloader.dataset = dict(type='ConcatDataset', datasets=[val])

    def status():
        model = TrainedModel('host', known.config, str(weights), known.cfg)
        (part,) = parts_of([fake.section()], [model], tmp_path / 'files')
        return part.status

    assert (status(), status()) == (report.MADE, report.REUSED)
    if changed == 'weights':
        with weights.open('ab') as file:
            file.write(b' ')
    else:
        content = json.loads(files[changed].read_text())
        content['annotations'].pop()
        files[changed].write_text(json.dumps(content))
    assert (status(), len(fake.calls)) == (report.MADE, 2)


@pytest.mark.parametrize(
    'damage',
    [
        lambda kept: kept['numbers'].clear(),
        lambda kept: kept.update(origin=[]),
        lambda kept: kept.update(tool='other'),
    ],
)
def test_a_damaged_result_is_measured_anew(damage, models, tmp_path):
    fake = Fake()
    (part,) = parts_of([fake.section()], models[:1], tmp_path)
    kept = json.loads(part.file.read_text())
    damage(kept)
    part.file.write_text(json.dumps(kept))
    (part,) = parts_of([fake.section()], models[:1], tmp_path)
    assert (part.status, len(fake.calls)) == (report.MADE, 2)


@pytest.mark.parametrize('left', [0, 4, 40])
def test_a_damaged_figure_is_drawn_anew(left, models, tmp_path):
    fake = Fake()
    (part,) = parts_of([fake.section()], models[:1], tmp_path)
    figure = part.file.with_suffix('.png')
    whole = figure.read_bytes()
    figure.write_bytes(whole[:left])
    (part,) = parts_of([fake.section()], models[:1], tmp_path)
    assert part.status == report.MADE and part.figure == figure.read_bytes()
    assert len(part.figure) > 40


def test_numbers_never_stand_beside_another_figure(models, tmp_path):
    """As if the process had been killed while the figure was drawn."""
    section, options = Fake().section()
    (part,) = parts_of([(section, options)], models[:1], tmp_path)
    broken = SimpleNamespace(savefig=lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_measured(part.file, section, part.origin, dict(answer=1), broken)
    assert not part.file.exists()


def test_an_image_that_cannot_be_read_costs_what_looks_at_images_alone(
    models, tmp_path
):
    path = tmp_path / 'broken.png'
    path.write_bytes(b'\x89PNG')
    dataset = models[0].dataloader.dataset
    dataset.get_data_info = lambda i: dict(img_path=str(path), img_id=i, sample_idx=i)
    sections = [Watching().section('watching', shows=''), Fake().section('other')]
    watching, other = parts_of(sections, models[:1], tmp_path / 'files')
    assert watching.status == report.FAILED
    assert watching.sentence.startswith('image ')
    assert f'{path} cannot be read' in watching.sentence
    assert other.status == report.MADE


def test_what_was_measured_before_an_interruption_is_kept(models, tmp_path):
    looking = Watching()
    sections = [looking.section('each', subject=Models(each=True), shows='')]

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    forward, models[1].detector.forward = models[1].detector.forward, interrupt
    with pytest.raises(KeyboardInterrupt):
        parts_of(sections, models, tmp_path)
    models[1].detector.forward = forward
    parts = parts_of(sections, models, tmp_path)
    assert [part.status for part in parts] == [report.REUSED, report.MADE]


def test_models_whose_names_make_one_file_name_are_kept_apart(models, tmp_path):
    models[0].name, models[1].name = 'a b', 'a/b'
    parts = parts_of([Fake().section(subject=Models(each=True))], models, tmp_path)
    assert [part.file.name for part in parts] == ['fake-1-a_b.json', 'fake-2-a_b.json']
    page = check_page(render_page('t', 'c', parts))
    assert len(page.images) == 2


def command(folder, *more):
    host, ours = folder / 'host', folder / 'ours'
    words = [f'{host}.py', f'{host}.pth', '--name', 'host', '--also', 'ours']
    return [str(word) for word in (*words, f'{ours}.py', f'{ours}.pth', *more)]


CHEAP = ['overview', 'precision', 'query_usage', 'routing', 'curves', 'side_by_side']


def test_report_of_two_models_through_the_command(folder, tmp_path, capsys):
    out = tmp_path / 'new' / 'report.html'
    options = ['--out', str(out), '--num-pictures', '2', '--only', *CHEAP]
    report_command.main('', command(folder, *options))
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
    report_command.main('', command(folder, *options))
    assert {path: path.stat().st_mtime_ns for path in files.iterdir()} == before
    if CHROMIUM:
        check_in_a_browser(out, tmp_path, images=4, sections=len(CHEAP))


def test_curves_of_a_model_are_those_of_the_log_beside_it(folder, tmp_path):
    for name in ('host', 'ours'):
        shutil.copy(folder / f'{name}.pth', tmp_path)
    log = tmp_path / '20300101_000000' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    lines = [dict(loss=2.0, iter=1, step=1), {'coco/bbox_mAP': 0.25, 'step': 1}]
    log.write_text(''.join(f'{json.dumps(line)}\n' for line in lines))
    out = tmp_path / 'report.html'
    words = [f'{folder}/host.py', f'{tmp_path}/host.pth', '--only', 'curves']
    report_command.main('', [*words, '--out', str(out)])
    page = check_page(out.read_text())
    text = ' '.join(page.text.split())
    assert '25.0' in text and str(tmp_path) in text and len(page.images) == 1


def test_a_failing_section_is_told_in_page_and_exit_status(
    folder, tmp_path, monkeypatch, capsys
):
    out = tmp_path / 'report.html'
    bad = Fake(RuntimeError('out of luck'))
    sections = [bad.section(), Fake().section('good')]
    sections = [section for section, _ in sections]
    monkeypatch.setattr(report_command, 'SECTIONS', sections)
    with pytest.raises(SystemExit) as stop:
        report_command.main('', command(folder, '--out', str(out)))
    assert stop.value.code == 1
    assert 'error: failed: Section fake' in capsys.readouterr().err
    page = check_page(out.read_text())
    assert 'RuntimeError: out of luck' in page.text
    assert len(page.images) == 1


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (['--num-pictures', '0'], 'must be a whole number from 1, got 0'),
        (['--score-threshold', '2'], 'must be between 0 and 1, got 2'),
        (['--score-threshold', 'nan'], 'must be between 0 and 1, got nan'),
    ],
)
def test_options_outside_their_range(words, sentence, capsys):
    with pytest.raises(SystemExit) as stop:
        report_command.main('', ['a.py', 'a.pth', *words])
    assert stop.value.code == 2 and sentence in capsys.readouterr().err


def test_a_threshold_reaches_every_section_that_has_one(monkeypatch, folder, tmp_path):
    asked = {}

    def note(sections, *_):
        asked.update({section.name: options for section, options in sections})
        return iter(())

    monkeypatch.setattr(report, 'make_parts', note)
    out = ['--out', str(tmp_path / 'r.html'), '--score-threshold', '0.1']
    report_command.main('', command(folder, *out))
    own = {s.name: s.choose() for s in report_command.SECTIONS}
    having = {name for name, options in own.items() if 'score_threshold' in options}
    assert len(having) >= 4
    for name, options in asked.items():
        if name in having:
            assert options['score_threshold'] == 0.1
        assert options.keys() == own[name].keys()


@pytest.mark.parametrize(
    ('more', 'words'),
    [
        (['--out', 'report.json'], 'does not end in .html'),
        (['--out', '/proc/x/report.html'], 'cannot be written'),
        (['--out', 'taken.html'], 'taken_files is no folder'),
        (['--also', 'host', 'x.py', 'x.pth'], "two models have the name 'host'"),
        (['--also', 'x', 'x.py', 'x.pth'], 'config x.py does not exist'),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_measured(
    folder, tmp_path, monkeypatch, more, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'taken_files').write_text('')
    with pytest.raises(ConfigError, match=words):
        report_command.main('', command(folder, *more))
    assert [path.name for path in tmp_path.iterdir()] == ['taken_files']
