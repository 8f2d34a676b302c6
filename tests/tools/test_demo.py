"""The demo's bookkeeping: what is done again, what is kept, how it stops."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'
sys.path.insert(0, str(TOOLS))
import demo  # noqa: E402
from demo_record import Record, fingerprint  # noqa: E402

METRICS = {f'coco/{key}': 0.5 for key in demo.METRICS} | {
    'coco/bbox_mAP_l': -1.0,
    'coco/7_precision': 0.25,
}
STEPS = ['make_digits.py', 'train', 'test']
PICTURES = ['training_curves.py', 'side_by_side.py', 'query_usage.py']


class Commands:
    """Stands in for `demo.call`: notes each command and leaves its files behind."""

    def __init__(self):
        self.names = []
        self.interrupt_at = None

    def __call__(self, arguments):
        words = [str(word) for word in arguments]
        name = words[1] if words[0].endswith('mim') else Path(words[0]).name
        self.names.append(name)
        if name == self.interrupt_at:
            raise KeyboardInterrupt
        getattr(self, Path(name).stem)(words)

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
        numbers.write_text('{"numbers": {"models": [{"gini": 0.5}]}}')
        numbers.with_suffix('.png').write_text('picture')

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
    assert run(commands) == (0, STEPS + PICTURES)
    assert run(commands) == (0, [])
    last = capsys.readouterr().out
    assert 'AP 0.500, AP50 0.500' in last
    assert 'work_dirs/demo/query_usage.png' in last


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
    assert run(commands) == (0, STEPS[1:] + PICTURES)
    (kept,) = Path('work_dirs').glob('demo-*')
    assert (kept / 'epoch_4.pth').is_file()


def test_other_options_train_anew(commands):
    run(commands)
    status, names = run(commands, '--cfg-options', 'train_cfg.max_epochs=12')
    assert (status, names) == (0, STEPS[1:] + PICTURES)


def test_changed_drawing_draws_again_only(commands):
    run(commands)
    Path('tools/analysis/side_by_side.py').write_text('new colours')
    assert run(commands) == (0, PICTURES)


def test_removed_picture_is_drawn_again(commands):
    run(commands)
    Path('work_dirs/demo/curves.png').unlink()
    assert run(commands) == (0, PICTURES[:1])
    Path('work_dirs/demo/query_usage.json').unlink()
    assert run(commands) == (0, PICTURES[2:])


@pytest.mark.parametrize('step', STEPS + PICTURES)
def test_interrupted_step_is_the_next_to_run(commands, capsys, step):
    commands.interrupt_at = step
    assert run(commands)[0] == 130
    assert 'Run the same command again' in capsys.readouterr().out
    commands.interrupt_at = None
    order = STEPS + PICTURES
    assert run(commands) == (0, order[order.index(step) :])
    assert not list(Path('work_dirs').glob('demo-*'))


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


def test_failed_command_is_named():
    with pytest.raises(demo.Stop, match='-c raise SystemExit'):
        demo.call(['-c', 'raise SystemExit(3)'])


def test_interrupt_ends_the_whole_family(tmp_path):
    """A child's child dies too, as mim's training does."""
    family = (
        'import pathlib, subprocess, sys, time\n'
        "child = subprocess.Popen(['sleep', '60'])\n"
        f'pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(child.pid))\n'
        'time.sleep(60)\n'
    )
    parent = (
        f'import signal, sys; sys.path.insert(0, {str(TOOLS)!r}); import demo\n'
        'signal.signal(signal.SIGINT, demo.interrupt)\n'
        f'try: demo.call(["-c", {family!r}])\n'
        'except KeyboardInterrupt: sys.exit(130)\n'
    )
    process = subprocess.Popen([sys.executable, '-c', parent])
    for _ in range(200):
        if (tmp_path / 'pid').exists() and (tmp_path / 'pid').read_text():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    state = Path('/proc') / (tmp_path / 'pid').read_text() / 'stat'
    # Gone, or a zombie that nobody has collected yet.
    assert not state.exists() or state.read_text().split()[2] == 'Z'
