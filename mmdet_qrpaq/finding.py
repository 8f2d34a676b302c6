"""What a check of input has found: how bad, where, and what to do about it."""

from dataclasses import asdict, dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How bad it is; the worst one decides the exit status of the doctor."""

    NOTE = 0  # told, nothing to do
    WARNING = 1  # the run goes on; its result may be worse than it could be
    ERROR = 2  # the run would fail, learn from nothing or report a wrong number


@dataclass(frozen=True)
class Finding:
    """One fault, however often it occurs.

    Attributes:
        severity: How bad it is.
        kind: A short name that stays the same, for scripts: 'number', 'image-size'.
        place: File, image, annotation id or setting, the first of several.
        what: What is wrong there, with numbers, e.g. `3 of 12 boxes hold a NaN`.
        remedy: What to do about it, in the imperative.
        count: How often it occurs.
    """

    severity: Severity
    kind: str
    place: str
    what: str
    remedy: str
    count: int = 1

    def __str__(self) -> str:
        """Say all of it in one sentence."""
        return f'{self.place}: {self.what}; {self.remedy}.'

    def as_record(self) -> dict[str, str | int]:
        """Return it for JSON, its severity by name."""
        return {**asdict(self), 'severity': self.severity.name.lower()}
