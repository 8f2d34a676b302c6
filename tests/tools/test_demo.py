"""The demo's bookkeeping: what is done again, what is kept, how it stops."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import demo
import demo_report
from demo_progress import TrainingProgress
from demo_record import Record, fingerprint

TOOLS = Path(__file__).parents[2] / 'tools'

METRICS = {f'coco/{key}': 0.5 for key in demo_report.METRICS} | {
    'coco/bbox_mAP_l': -1.0,
    'coco/7_precision': 0.25,
}
STEPS = ['make_digits', 'train', 'test']
FIGURES = ['training_curves', 'side_by_side', 'query_usage']


class Commands:
    """Stands in for `demo.call`: notes each command and leaves its files behind."""

    def __init__(self):
        self.names = []
        self.interrupt_at = None

    def __call__(self, arguments, log, *_, **__):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text('what it printed')
        words = [str(word) for word in arguments]
        name = Path(words[0]).stem
        self.names.append(name)
        if name == self.interrupt_at:
            raise KeyboardInterrupt
        getattr(self, name)(words)

    def make_digits(self, words):
        for split in ('train', 'val'):
            (demo.DATA / split).mkdir(parents=True, exist_ok=True)
        (demo.DATA / 'dataset.json').write_text('{"seed": 0}')

    def train(self, words):
        assert '--resume' in words
        folder = Path(words[words.index('--work-dir') + 1])
        (folder / 'epoch_4.pth').write_text('weights')
        (folder / 'last_checkpoint').write_text(str(folder / 'epoch_4.pth'))

    def test(self, words):
        folder = Path(words[words.index('--work-dir') + 1]) / 'now'
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'now.json').write_text(json.dumps(METRICS))

    def training_curves(self, words):
        numbers = Path(words[words.index('--out') + 1])
        assert numbers.suffix == '.json'
        content = dict(models=[dict(gini=0.5)], score_threshold=0.31)
        numbers.write_text(json.dumps(dict(numbers=content)))
        numbers.with_suffix('.png').write_text('figure')

    side_by_side = query_usage = training_curves


@pytest.fixture
def commands(tmp_path, monkeypatch):
    for name in ('configs/_base_', 'tools/dataset', 'tools/analysis', 'package'):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / demo.CONFIG).write_text('model = 1')
    (tmp_path / 'package' / 'model.py').write_text('code')
    (tmp_path / 'tools' / 'dataset' / 'make_digits.py').write_text('code')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, 'ROOT', tmp_path)
    monkeypatch.setattr(demo, 'find_package', lambda: tmp_path / 'package')
    stand_in = Commands()
    monkeypatch.setattr(demo, 'call', stand_in)
    handlers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    before = [signal.getsignal(number) for number in handlers]
    yield stand_in
    for number, handler in zip(handlers, before, strict=True):
        signal.signal(number, handler)


def run(commands, *arguments):
    commands.names.clear()
    status = demo.main(list(arguments))
    return status, list(commands.names)


def test_everything_once_then_nothing(commands, capsys):
    assert run(commands) == (0, STEPS + FIGURES)
    assert run(commands) == (0, [])
    first, last = capsys.readouterr().out.split('AP on data', 1)
    for step in ('data', 'train', 'test', 'val_predictions'):
        assert f'{demo.STEPS[step]} (work_dirs/demo/{step}.log)' in first
    assert '.log' not in last and '0.500' in last and 'Gini 0.50' in last
    assert 'score of 0.31 or more' in last
    for line in last.splitlines():
        if line.startswith('  work_dirs'):
            assert Path(line.strip()).is_file()
    assert 'work_dirs/demo/epoch_4.pth' in last


def test_table_has_classes_and_no_absent_sizes(commands):
    run(commands)
    table = json.loads(Path('work_dirs/demo/ap_table.json').read_text())
    assert table['AP by class'] == {'7': 0.25}
    assert 'AP medium' in table['AP'] and 'AP large' not in table['AP']
    assert '| 7 | 0.250 |' in Path('work_dirs/demo/ap_table.md').read_text()


@pytest.mark.parametrize(
    'changed',
    [demo.CONFIG, Path('package/model.py'), Path('data/digits/dataset.json')],
)
def test_changed_input_trains_anew_and_keeps_the_earlier_run(commands, changed):
    run(commands)
    changed.write_text('{"other": 1}')
    assert run(commands) == (0, STEPS[1:] + FIGURES)
    (kept,) = Path('work_dirs').glob('demo-*')
    assert (kept / 'epoch_4.pth').is_file()


def test_other_options_train_anew(commands):
    run(commands)
    status, names = run(commands, '--cfg-options', 'train_cfg.max_epochs=12')
    assert (status, names) == (0, STEPS[1:] + FIGURES)


def test_changed_drawing_draws_again_only(commands):
    run(commands)
    Path('tools/analysis/side_by_side.py').write_text('new colours')
    assert run(commands) == (0, FIGURES)


def test_removed_figure_is_drawn_again(commands):
    run(commands)
    Path('work_dirs/demo/curves.png').unlink()
    assert run(commands) == (0, FIGURES[:1])
    Path('work_dirs/demo/query_usage.json').unlink()
    assert run(commands) == (0, FIGURES[2:])


@pytest.mark.parametrize('step', STEPS + FIGURES)
def test_interrupted_step_is_the_next_to_run(commands, capsys, step):
    commands.interrupt_at = step
    assert run(commands)[0] == 130
    assert 'Run the same command again' in capsys.readouterr().out
    commands.interrupt_at = None
    order = STEPS + FIGURES
    assert run(commands) == (0, order[order.index(step) :])
    assert not list(Path('work_dirs').glob('demo-*'))


def test_seconds_of_a_step_add_up_over_a_stop(commands, monkeypatch):
    """Of the clock and of the processes below; the data's survive a new training."""
    spans = iter([*range(0, 100, 10)] * 9)
    monkeypatch.setattr('demo_record._cpu_of_children', lambda: next(spans))
    commands.interrupt_at = 'train'
    run(commands)
    commands.interrupt_at = None
    run(commands)
    record = json.loads(Path('work_dirs/demo/demo.json').read_text())
    seconds = {step: spent['cpu'] for step, spent in record['seconds'].items()}
    assert seconds.pop('train') == 20
    assert seconds == dict.fromkeys(
        ['data', 'test', 'curves', 'val_predictions', 'query_usage'], 10
    )
    assert all(spent['wall'] >= 0 for spent in record['seconds'].values())
    commands.interrupt_at = 'train'
    run(commands, '--cfg-options', 'train_cfg.max_epochs=12')
    record = json.loads(Path('work_dirs/demo/demo.json').read_text())
    assert set(record['seconds']) == {'data', 'train'}
    assert record['seconds']['train']['cpu'] == 10


LOG = """
train_cfg = dict(
    _scope_='mmdet', max_epochs=4, type='EpochBasedTrainLoop', val_interval=1)
07/01 10:00:00 - mmengine - INFO - Load checkpoint
"""
LINE = (
    '07/01 10:00:09 - mmengine - INFO - Epoch(train) [{epoch}][{step:>3}/100]  '
    'lr: 1.0e-04  eta: {eta}  time: 1.07  data_time: 0.04  grad_norm: 10.48  '
    'loss: {loss}  loss_cls: 0.10  dn_loss_cls: 0.70\n'
)
VALIDATION = (
    '07/01 10:01:09 - mmengine - INFO - Epoch(val) [1][25/25]    coco/bbox_mAP: 0.2380'
    '  coco/bbox_mAP_50: 0.3260  coco/bbox_mAP_75: 0.2840  data_time: 0.03\n'
)


def test_progress_is_told_from_the_log():
    progress = TrainingProgress()
    assert 'starting: loading' in progress.describe('', 1)
    assert 'starting: building' in progress.describe(LOG, 8)
    log = LOG + LINE.format(epoch=1, step=50, eta='0:01:10', loss=25.731)
    line = progress.describe(log, 10)
    assert line == 'training:  12%  1:10 left  loss 25.73'  # 50 of 400
    # Time goes on between two lines.
    assert progress.describe(log, 13) == line.replace('1:10', '1:07')
    log += VALIDATION + LINE.format(epoch=2, step=100, eta='0:00:09', loss=9.1)
    # What was said of the config may have left the end that is read.
    line = progress.describe(log.removeprefix(LOG), 60)
    assert line == 'training:  50%  0:09 left  loss 9.10  AP 0.24  AP50 0.33'
    assert '0:00 left' in progress.describe(log, 999)
    log += LINE.format(epoch=4, step=100, eta='0:00:00', loss=8.1)
    assert '100%  last validation  loss 8.10' in progress.describe(log, 999)


def test_progress_of_a_resumed_training_starts_where_it_is():
    log = LOG + LINE.format(epoch=4, step=5, eta='1 day, 1:00:10', loss=3.0)
    assert (
        TrainingProgress().describe(log, 9) == 'training:  76%  1500:10 left  loss 3.00'
    )


def test_progress_is_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys.stdout, 'isatty', lambda: True, raising=False)
    log = LOG + LINE.format(epoch=1, step=100, eta='0:05:00', loss=25.731)
    line = TrainingProgress().describe(log, 10)
    assert line == '[#####...............]  25%  5:00 left  loss 25.73'


def test_commands_to_type_next_are_there(tmp_path, monkeypatch):
    """Script, config and flags of each; the slow test runs them."""
    monkeypatch.chdir(TOOLS.parent)
    found = demo_report.commands(demo.CONFIG, Path('work_dirs/demo/epoch_4.pth'))
    for command in found.values():
        program, *words = command.split()
        if program.endswith('mim'):
            assert words[:2] == ['train', demo.PACKAGE]
        paths = [word for word in words if word.endswith('.py')]
        assert paths and all(Path(path).is_file() for path in paths)


def test_fingerprint_tells_contents_values_and_order_apart(tmp_path):
    one, two = tmp_path / 'one', tmp_path / 'two'
    one.write_text('a')
    two.write_text('b')
    prints = [fingerprint(one, two), fingerprint(two, one), fingerprint(one, 'b')]
    two.write_text('c')
    prints.append(fingerprint(one, two))
    assert len(set(prints)) == 4
    two.write_text('b')
    assert fingerprint(one, two) == prints[0]


def test_unreadable_record_means_nothing_is_done(tmp_path):
    record = Record(tmp_path)
    record.write('train', 'x')
    assert record.is_done('train', 'x', [])
    record.file.write_text('{"tr')
    assert not record.is_done('train', 'x', [])


def test_failed_command_shows_the_end_of_its_log(tmp_path):
    code = 'for n in range(90): print(n)\nraise SystemExit("no such file")'
    log = tmp_path / 'train.log'
    with pytest.raises(demo.Stop) as caught:
        demo.call(['-c', code], log, 'train')
    assert caught.value.status == 1
    first, *lines, last = str(caught.value).splitlines()
    assert first == 'train failed.'
    assert lines[0] == '    | 66' and lines[-1] == '    | no such file'
    assert last.endswith(str(log)) and log.read_text().startswith('0\n1\n')


@pytest.mark.parametrize('verbose', [True, False])
def test_only_verbose_shows_what_a_command_prints(tmp_path, capfd, verbose):
    log = tmp_path / 'x.log'
    code = (
        'import sys, time; print("one"); time.sleep(1); print("two", file=sys.stderr)'
    )
    demo.call(['-c', code], log, 'x', verbose=verbose)
    assert log.read_text() == 'one\ntwo\n'
    assert capfd.readouterr().out == 'one\ntwo\n' * verbose


def test_without_a_terminal_a_line_now_and_then(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr('demo_progress.QUIET_EVERY_S', 0.6)
    seen = []
    code = 'import time; print("begun", flush=True); time.sleep(2)'
    describe = lambda log, seconds: seen.append(log) or f'x: {log.strip()}'  # noqa: E731
    demo.call(['-c', code], tmp_path / 'x.log', 'x', describe)
    lines = capfd.readouterr().out.splitlines()
    assert 2 <= len(lines) < len(seen) and lines[-1].endswith('x: begun')


def test_interrupt_ends_the_whole_family(tmp_path):
    """A child's child dies too, as the loader of a training does."""
    family = (
        'import pathlib, subprocess, sys, time\n'
        "child = subprocess.Popen(['sleep', '60'])\n"
        f'pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(child.pid))\n'
        'time.sleep(60)\n'
    )
    parent = (
        'from pathlib import Path\n'
        'import demo, signal, sys\n'
        'signal.signal(signal.SIGINT, demo.interrupt)\n'
        f'try: demo.call(["-c", {family!r}], Path({str(tmp_path / "x.log")!r}), "x")\n'
        'except KeyboardInterrupt: sys.exit(130)\n'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', parent], env={**os.environ, 'PYTHONPATH': str(TOOLS)}
    )
    for _ in range(200):
        if (tmp_path / 'pid').exists() and (tmp_path / 'pid').read_text():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    state = Path('/proc') / (tmp_path / 'pid').read_text() / 'stat'
    # Gone, or a zombie that nobody has collected yet.
    assert not state.exists() or state.read_text().split()[2] == 'Z'
