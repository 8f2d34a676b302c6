"""Runs one long command with a log, a live line and a readable failure.

Called by every step of `tools/bootstrap.py` and `tools/demo.py`. Output goes to a file
the command itself writes to, so that nothing is lost when this process dies; the live
line is read back from that file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

TAIL_LINES = 25
QUIET_EVERY_S = 30  # without a terminal: one line of progress this often
# First match wins: the specific causes stand before the general ones.
LIKELY_REASONS = (
    (r'No space left on device', 'the disk is full'),
    (r'Python\.h: No such file', 'the Python headers are missing (python3-dev)'),
    (
        r'Killed|out of memory|cannot allocate memory|signal terminated program cc1',
        'the machine ran out of memory; try again with MAX_JOBS=1',
    ),
    (
        r'CUDA_HOME|nvcc.*not found|mismatches the version that was used to compile',
        'the CUDA toolkit is missing or differs from the one of the installed torch',
    ),
    (
        r'Name or service not known|name resolution|Max retries|Connection(Error| ref)|'
        r'timed out',
        'the package index cannot be reached',
    ),
    (
        r'No matching distribution|Could not find a version',
        'the package index has no such version for this Python and platform',
    ),
    (r'error: .*(command|compil).*(c\+\+|g\+\+|gcc|clang)', 'the C++ compiler failed'),
)


class SetupError(Exception):
    """Set-up cannot go on; the message is for the user and is printed alone."""


def likely_reason(log: str) -> str:
    """Name the probable cause found in a log, or return an empty string."""
    for pattern, reason in LIKELY_REASONS:
        if re.search(pattern, log, re.IGNORECASE):
            return reason
    return ''


def clock(seconds: float) -> str:
    """Format a duration as `mm:ss`."""
    return f'{int(seconds) // 60:02d}:{int(seconds) % 60:02d}'


def last_line(log: str) -> str:
    """Return a log's newest non-empty line, the live line when nothing is counted."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1] if lines else ''


class _LiveLine:
    """Rewrites one line on a terminal, or prints now and then where there is none."""

    def __init__(self, quiet_every: float) -> None:
        self.on_terminal = sys.stdout.isatty()
        self.quiet_every = quiet_every
        self.next_print = time.monotonic() + quiet_every

    def show(self, text: str) -> None:
        if self.on_terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f'\r\033[K{text[:width]}', end='', flush=True)
        elif time.monotonic() >= self.next_print:
            self.next_print += self.quiet_every
            print(text[:160], flush=True)

    def clear(self) -> None:
        if self.on_terminal:
            print('\r\033[K', end='', flush=True)


class _Echo:
    """Copies to the screen what a log gains, in place of a live line."""

    def __init__(self, log_path: Path) -> None:
        self.log = open(log_path, 'rb')

    def show(self, text: str = '') -> None:
        print(self.log.read().decode(errors='replace'), end='', flush=True)

    clear = show


def run_logged(
    command: list[str],
    log_path: Path,
    what: str,
    *,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    describe: Callable[[str, float], str] | None = None,
    keep_fds: tuple[int, ...] = (),
    reason_in: Callable[[str], str] = likely_reason,
    quiet_every: float = QUIET_EVERY_S,
    echo: bool = False,
) -> str:
    """Run a command to its end and return its log.

    The command gets its own process group, which is ended as a whole when this process
    is interrupted: a compiler farm must not outlive the Ctrl-C that stopped it.

    Args:
        command: Program and arguments.
        log_path: Receives stdout and stderr; overwritten.
        what: Names the work in messages, for example `'installing PyTorch'`.
        env: Environment of the command.
        cwd: Folder to run it in.
        describe: Turns (end of the log, seconds so far) into the live line.
        keep_fds: File descriptors to hand down (the lock, which an orphan must hold).
        reason_in: Finds the probable cause of a failure in the log, or nothing.
        quiet_every: Seconds between the lines where there is no terminal.
        echo: Shows the output itself, in place of the live line.

    Raises:
        SetupError: The command failed; shows the log's end, path and likely reason.
    """
    describe = describe or (lambda log, _: last_line(log))
    log_path.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with open(log_path, 'wb') as log_file:
        live = _Echo(log_path) if echo else _LiveLine(quiet_every)
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            pass_fds=keep_fds,
            start_new_session=True,
        )
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.5)
                    break
                elapsed = time.monotonic() - started
                log_end = _read_end(log_path)
                live.show(f'      {clock(elapsed)}  {describe(log_end, elapsed)}')
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
        finally:
            live.clear()
    log = log_path.read_text(errors='replace')
    if process.returncode:
        tail = '\n'.join(f'    | {line}' for line in log.splitlines()[-TAIL_LINES:])
        reason = reason_in(log)
        raise SetupError(
            f'{what} failed' + (f': {reason}' if reason else '') + f'.\n{tail}\n'
            f'    full log: {log_path}'
        )
    return log


def _read_end(path: Path, size: int = 1 << 18) -> str:
    with open(path, 'rb') as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read().decode(errors='replace')


@contextlib.contextmanager
def exclusive(lock_path: Path, what: str) -> Iterator[int]:
    """Hold a file lock; tell the user when another set-up has it.

    Yields the descriptor so that children can inherit it: if this process is killed
    outright, an orphaned pip or compiler still keeps the next run waiting.
    """
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    with open(lock_path, 'a') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f'another set-up is busy with {what}; waiting ...', flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()
