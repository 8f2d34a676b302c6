"""What was decided for a run, and why."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Decision:
    """One thing that was decided.

    Attributes:
        part: The part of the config it is about: `'model'`, `'optim_wrapper'`.
        what: In a few words.
        why: In a few words more, where that does not say it all.
    """

    part: str
    what: str
    why: str = ''

    def __str__(self) -> str:
        """Say it on one line, whatever names of classes and files are in it."""
        said = f'{self.what}: {self.why}' if self.why else self.what
        return ' '.join(said.split())
