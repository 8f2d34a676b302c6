"""What each step of the demo was done with, and took; used by `demo.py` beside it."""

import hashlib
import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def fingerprint(*parts: Any) -> str:
    """Return a hash of values and, for paths, of the files' names and contents."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            content = [part.name, hashlib.sha256(part.read_bytes()).hexdigest()]
        else:
            content = part
        total.update(json.dumps(content).encode() + b'\n')
    return total.hexdigest()


class Record:
    """What each step was last done with: `demo.json` in the work directory."""

    def __init__(self, work_dir: Path) -> None:
        self.file = work_dir / 'demo.json'

    def read(self) -> dict[str, Any]:
        """Return fingerprints by step, and `seconds`; nothing without a record."""
        try:
            return json.loads(self.file.read_text())
        except (OSError, ValueError):
            return {}

    def write(self, step: str, inputs: str | dict) -> None:
        """Remember a step's inputs; the file is never half written."""
        from mmdet_qrpaq.records.results import write_json

        write_json(self.file, self.read() | {step: inputs})

    def is_done(self, step: str, inputs: str, outputs: list[Path]) -> bool:
        """Tell whether a step was done with these inputs and its outputs exist."""
        same = self.read().get(step) == inputs
        return same and all(path.exists() for path in outputs)

    def start_over(self, folder: Path) -> None:
        """Leave all but the data to an earlier run, which is now in `folder`."""
        earlier = Record(folder).read()
        if 'data' in earlier:
            self.write('data', earlier['data'])
            seconds = earlier.get('seconds', {})
            self.write('seconds', {k: v for k, v in seconds.items() if k == 'data'})

    @contextmanager
    def timed(self, step: str, *, goes_on: bool) -> Iterator[None]:
        """Add up the seconds that a step's processes take, by the clock and of CPU.

        Args:
            step: As in `seconds` of the record.
            goes_on: Whether the step goes on where it was stopped: then the time
                before counts, too.
        """
        before = self.read().get('seconds', {}).get(step) if goes_on else None
        wall, cpu = time.monotonic(), _cpu_of_children()
        try:
            yield
        finally:
            before = before or dict(wall=0, cpu=0)
            spent = dict(
                wall=round(before['wall'] + time.monotonic() - wall, 1),
                cpu=round(before['cpu'] + _cpu_of_children() - cpu, 1),
            )
            seconds = self.read().get('seconds', {})
            self.write('seconds', seconds | {step: spent})


def _cpu_of_children() -> float:
    """Return the CPU seconds of all processes that have ended below this one."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
