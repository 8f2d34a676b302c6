"""What the tests stand on: a check over many files, and the choice of hosts."""

from pathlib import Path

import pytest

from check_each import check_each
from tiny_hosts import HOSTS


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


@pytest.fixture
def hosts_named(pytestconfig):
    conftest = Path(__file__).with_name('conftest.py')
    return pytestconfig.pluginmanager.get_plugin(str(conftest)).hosts_named


def test_hosts_are_chosen_by_name(hosts_named):
    assert hosts_named('all') == set(HOSTS)
    assert hosts_named('dab,dino') == {'dab', 'dino'}


@pytest.mark.parametrize('names', ['dabb', 'dino,dabb', 'dabb,', 'dino, dabb'])
def test_a_wrong_host_is_told_in_one_sentence(names, hosts_named):
    with pytest.raises(pytest.UsageError) as error:
        hosts_named(names)
    (text,) = str(error.value).splitlines()
    assert text.startswith('--hosts names ') and text.endswith(" or 'all'.")
    assert all(name in text for name in HOSTS)
