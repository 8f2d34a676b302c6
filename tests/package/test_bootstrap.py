"""The set-up's own parts; the set-up as a whole is what runs these tests."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bootstrap_lib import (
    environment,
    mmcv_wheel,
    packages,
    roads,
    running,
)
from mmdet_qrpaq._compat import FAMILIES, _numbers

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.mark.parametrize(
    ('log', 'reason'),
    [
        ('x.cpp:1: fatal error: Python.h: No such file or directory', 'python3-dev'),
        ('c++: fatal error: Killed signal terminated program cc1plus', 'MAX_JOBS=1'),
        ('OSError: [Errno 28] No space left on device', 'disk is full'),
        ('ERROR: Could not find a version that satisfies torch==9', 'no such version'),
        ('NewConnectionError: Temporary failure in name resolution', 'reached'),
        ('all went well', ''),
    ],
)
def test_likely_reason(log, reason):
    found = running.likely_reason(log)
    assert reason in found
    assert bool(reason) == bool(found)


def test_build_progress_counts_and_estimates():
    log = (
        'creating x\n  [11/44] c++ -MMD a.cpp\n  [22/44] c++ b.cpp\nwarning: [1/2] no\n'
    )
    # 22 of 44 in 60 s leaves another 60 s.
    line = mmcv_wheel.describe_build(log, 60.0)
    assert line == 'compiling mmcv 22/44 (50 %), about 01:00 left'
    assert mmcv_wheel.describe_build('copying a\n', 1.0) == 'preparing: copying a'


def test_cache_key_tells_binaries_apart():
    cpu = {'version': '2.6.0+cpu'}
    cuda = {'version': '2.6.0+cu124'}
    keys = {
        mmcv_wheel.cache_key('mmcv-2.1.0', cpu, '3.11.7', ''),
        mmcv_wheel.cache_key('onedl_mmcv-2.3.6', cpu, '3.11.7', ''),
        mmcv_wheel.cache_key('mmcv-2.1.0', cpu, '3.12.1', ''),
        # CUDA torch on a machine without a GPU: mmcv gets no CUDA kernels there.
        mmcv_wheel.cache_key('mmcv-2.1.0', cuda, '3.11.7', ''),
        mmcv_wheel.cache_key('mmcv-2.1.0', cuda, '3.11.7', '8.0'),
        mmcv_wheel.cache_key('mmcv-2.1.0', cuda, '3.11.7', '9.0'),
    }
    assert len(keys) == 6
    # The same binary interface.
    assert mmcv_wheel.cache_key('mmcv-2.1.0', cpu, '3.11.9', '') in keys


def test_missing_compiler_is_named_before_the_build(monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(running.SetupError, match="'no-such-compiler' was not found"):
        mmcv_wheel.check_compiler(Path(sys.executable))


def test_failure_shows_tail_reason_and_log(tmp_path):
    log = tmp_path / 'x.log'
    code = 'print("No space left on device"); raise SystemExit(3)'
    with pytest.raises(running.SetupError) as caught:
        running.run_logged([sys.executable, '-c', code], log, 'installing x')
    message = str(caught.value)
    assert message.startswith('installing x failed: the disk is full.')
    assert '| No space left on device' in message
    assert str(log) in message


def test_interrupt_ends_grandchildren(tmp_path, monkeypatch):
    # What Ctrl-C does while pip runs a compiler.
    grandchild = tmp_path / 'pid'
    script = f'sleep 60 & echo $! > {grandchild}; wait'

    def interrupt(log, elapsed):
        if grandchild.exists():
            raise KeyboardInterrupt
        return ''

    with pytest.raises(KeyboardInterrupt):
        running.run_logged(
            ['sh', '-c', script], tmp_path / 'x.log', 'x', describe=interrupt
        )
    status = Path(f'/proc/{int(grandchild.read_text())}/stat')
    for _ in range(50):
        if not status.exists() or status.read_text().split()[2] == 'Z':
            return
        time.sleep(0.1)
    pytest.fail('the grandchild is still running')


def test_second_setup_waits_for_the_first(tmp_path):
    lock = tmp_path / 'lock'
    code = (
        'from pathlib import Path\n'
        'from bootstrap_lib.running import exclusive\n'
        f'with exclusive(Path({str(lock)!r}), "it"): print("got it", flush=True)\n'
    )
    with running.exclusive(lock, 'it'):
        other = subprocess.Popen(
            [sys.executable, '-c', code],
            env={**os.environ, 'PYTHONPATH': str(TOOLS)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert 'waiting' in other.stdout.readline()
        assert other.poll() is None
    assert other.communicate(timeout=20)[0] == 'got it\n'


def test_probe_sweeps_what_a_broken_off_pip_left(tmp_path):
    venv = tmp_path / 'venv'
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', venv], check=True)
    python = venv / 'bin' / 'python'
    site = next((venv / 'lib').glob('python*')) / 'site-packages'
    for name, finished in (('whole', True), ('half', False)):
        folder = site / f'{name}-1.0.dist-info'
        folder.mkdir()
        (folder / 'METADATA').write_text(f'Name: {name}\nVersion: 1.0\n')
        if finished:
            (folder / 'INSTALLER').write_text('pip\n')

    def probe(*args):
        script = TOOLS / 'bootstrap_lib' / 'probe.py'
        environment = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
        done = subprocess.run(
            [python, script, *args], capture_output=True, check=True, env=environment
        )
        return json.loads(done.stdout)

    # In somebody else's environment nothing is removed.
    assert {'whole', 'half'} <= set(probe()['versions'])
    healed = probe('--heal')
    assert healed['swept'] == 1
    assert 'whole' in healed['versions']
    assert not (site / 'half-1.0.dist-info').exists()
    assert probe('--heal')['swept'] == 0
    assert healed['torch']['version'] == ''
    assert healed['mmcv_ops_error'] == 'no torch'


@pytest.mark.parametrize('line', sorted(packages.FRAMEWORK))
def test_pins_lie_within_the_supported_windows(line):
    windows = {
        distribution: (_numbers(first), _numbers(last))
        for distribution, first, last in FAMILIES[line].values()
    }
    pinned = [*packages.FRAMEWORK[line], *roads.PLAIN[line]]
    pinned.append('=='.join(roads.SOURCES[line]))
    for requirement in pinned:
        name, version = re.match(r'([\w-]+)[=>]=([\w.]+)', requirement).groups()
        first, last = windows[name.replace('mmcv-lite', 'mmcv')]
        assert first <= _numbers(version) < last, requirement


def test_pythons_are_told_alike():
    text = (TOOLS / 'bootstrap.py').read_text()
    first, last = environment.PYTHONS
    assert f'if not {first} <= sys.version_info[:2] <= {last}:' in text
    assert f'Needs Python 3.{first[1]}-3.{last[1]} and' in text
