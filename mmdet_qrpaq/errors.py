"""The one error a user can mend: raised everywhere, printed alone by the tools."""

import math
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
    """Refuses a setting that is not a finite number from ``low`` to ``high``.

    Args:
        name: The setting as a user finds it in the config.
        whole: Only whole numbers are accepted.
        hint: What others use, e.g. ``'the paper: 4'``.

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
