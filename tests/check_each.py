"""One check over many files, as one test that names every file that fails."""

from collections.abc import Callable, Iterable

import pytest


def check_each(check: Callable[..., None], cases: Iterable) -> None:
    """Calls `check` with each case, and fails at the end if it failed for any.

    Args:
        cases: What the check is about, or a tuple of that and of its other arguments.
    """
    number, failures = 0, []
    for case in cases:
        number += 1
        arguments = case if isinstance(case, tuple) else (case,)
        try:
            check(*arguments)
        except Exception as error:
            failures.append(f'{arguments[0]}: {type(error).__name__}: {error}')
    assert number, 'there is nothing to check'
    if failures:
        summary = f'{len(failures)} of {number} fail:'
        pytest.fail('\n'.join([summary, *failures]), pytrace=False)
