"""Every script reads its arguments before it imports anything slow."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tiny_hosts import REPOSITORY

SLOW = {
    *('torch', 'mmengine', 'mmcv', 'mmdet', 'matplotlib', 'sklearn', 'scipy'),
    *('pandas', 'pycocotools', 'cv2', 'skimage', 'numpy', 'submitit'),
}
SCRIPTS = [
    str(path.relative_to(REPOSITORY))
    for folder in ('tools', 'benchmarks')
    for path in sorted((REPOSITORY / folder).rglob('*.py'))
    if "if __name__ == '__main__':" in path.read_text()
]
# What follows is a Python command, which may have any flag.
TAKES_ANY_FLAG = ['tools/bootstrap.py']
# As `python SCRIPT WORDS` would; the last line of stderr is what was imported.
RUN = """
import json, os, runpy, sys
script = sys.argv[1]
sys.argv, sys.path[0] = sys.argv[1:], os.path.dirname(script)
try:
    runpy.run_path(script, run_name='__main__')
finally:
    imported = sorted({name.partition('.')[0] for name in sys.modules})
    print(json.dumps(imported), file=sys.stderr)
"""


def call(folder: Path, script: str, *words: str) -> subprocess.CompletedProcess:
    """Run a script, which must import nothing slow."""
    done = subprocess.run(
        [sys.executable, '-c', RUN, str(REPOSITORY / script), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    imported = json.loads(done.stderr.splitlines()[-1])
    assert 'runpy' in imported and not SLOW & set(imported), done.stderr
    return done


def required(usage: str) -> list[str]:
    """What a command cannot do without; of choices the first."""
    optional = 1
    while optional:
        usage, optional = re.subn(r'\[[^][]*\]', '', usage)
    return [re.sub(r'\{(\w+).*\}', r'\1', word) for word in usage.split()[2:]]


@pytest.mark.parametrize('script', SCRIPTS)
def test_nothing_slow_is_imported_before_the_arguments_are_read(script, tmp_path):
    shown = call(tmp_path, script, '--help')
    assert shown.returncode == 0 and Path(script).name in shown.stdout
    if script in TAKES_ANY_FLAG:
        return
    usage = shown.stdout.partition('\n\n')[0]
    wrong = call(tmp_path, script, *required(usage), '--no-such-flag')
    assert wrong.returncode == 2
    assert 'error: unrecognized arguments: --no-such-flag' in wrong.stderr
    assert not list(tmp_path.iterdir())


def test_every_script_is_found():
    assert {'tools/train.py', 'benchmarks/speed/models.py'} <= set(SCRIPTS)
