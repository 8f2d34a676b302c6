"""The one error a user can mend: raised everywhere, printed alone by the tools."""

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real


class ConfigError(ValueError):
    """A setting, path or file given by the user cannot work.

    The message is one sentence: what is wrong, where, and what to do. The tools
    print it without a traceback and exit with status 2.
    """


def check_number(
    name: str,
    value: object,
    low: float,
    high: float = math.inf,
    *,
    whole: bool = False,
    hint: str,
) -> None:
    """Refuse a setting that is not a finite number from `low` to `high`.

    Args:
        name: The setting as a user finds it in the config.
        whole: Only whole numbers are accepted.
        hint: What others use, e.g. `'the paper: 4'`.

    Raises:
        ConfigError: If it is something else.
    """
    kind = Integral if whole else Real
    is_number = isinstance(value, kind) and not isinstance(value, bool)
    if is_number and low <= value <= high and math.isfinite(value):
        return
    limits = f'from {low}' if high == math.inf else f'from {low} to {high}'
    raise ConfigError(
        f'{name} is {value!r}: set it to a {"whole " if whole else ""}number '
        f'{limits} ({hint}).'
    )


def check_choice(name: str, value: object, known: Sequence[str]) -> None:
    """Refuse a setting that is none of the known values.

    Args:
        name: The setting as a user finds it in the config.

    Raises:
        ConfigError: If it is something else.
    """
    if value not in known:
        raise ConfigError(f'{name} is {value!r}: use {" or ".join(map(repr, known))}.')


def check_names(owner: str, given: Iterable[str], known: Sequence[str]) -> None:
    """Refuse settings that do not exist.

    Args:
        owner: What they are settings of, as a user finds it in the config.

    Raises:
        ConfigError: If there is one; names the known ones.
    """
    if unknown := sorted(set(given) - set(known)):
        raise ConfigError(
            f'{owner} has no setting {unknown[0]!r}: use {", ".join(known)}.'
        )


def check_free(owner: str, given: Iterable[str], filled_in: Iterable[str]) -> None:
    """Refuse settings that the detector fills in itself.

    Raises:
        ConfigError: If there is one.
    """
    if taken := sorted(set(given) & set(filled_in)):
        raise ConfigError(f'{owner}.{taken[0]} is set by the detector; remove it.')
