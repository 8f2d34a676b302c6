"""A check over many files tells all that is wrong."""

import pytest

from check_each import check_each


def test_every_failure_is_named_with_its_reason():
    def check(name, number, most=2):
        assert number != 1, 'it is one'
        if number > most:
            raise KeyError(number)

    with pytest.raises(pytest.fail.Exception) as failure:
        check_each(check, [('a.py', 0), ('b.py', 1), ('c.py', 2), ('d.py', 3)])
    first, *lines = str(failure.value).splitlines()
    assert first == '2 of 4 fail:'
    assert lines[0].startswith('b.py: AssertionError: it is one')
    assert lines[-1] == 'd.py: KeyError: 3'
    check_each(check, [('a.py', 0), ('c.py', 2)])


def test_nothing_to_check_is_no_success():
    with pytest.raises(AssertionError, match='nothing to check'):
        check_each(print, [])
