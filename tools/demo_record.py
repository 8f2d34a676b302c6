"""What each step of the demo was done with; used by ``demo.py`` beside it."""

import hashlib
import json
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

    def read(self) -> dict[str, str]:
        """Return fingerprints by step; nothing if there is no record yet."""
        try:
            return json.loads(self.file.read_text())
        except (OSError, ValueError):
            return {}

    def write(self, step: str, inputs: str) -> None:
        """Remember a step's inputs; the file is never half written."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_suffix('.partial')
        draft.write_text(json.dumps(self.read() | {step: inputs}, indent=1) + '\n')
        draft.replace(self.file)

    def is_done(self, step: str, inputs: str, outputs: list[Path]) -> bool:
        """Tell whether a step was done with these inputs and its outputs exist."""
        same = self.read().get(step) == inputs
        return same and all(path.exists() for path in outputs)
