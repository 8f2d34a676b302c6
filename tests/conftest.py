"""Fixtures that run a test over every host and method; how examples are drawn."""

import pytest
from hypothesis import settings

from tiny_hosts import HOSTS, METHODS

# The same examples in every run, and no complaint about a busy machine.
settings.register_profile('repeatable', deadline=None, derandomize=True)
settings.load_profile('repeatable')


@pytest.fixture(params=sorted(HOSTS))
def host(request) -> str:
    """Name of a host."""
    return request.param


@pytest.fixture(params=sorted(METHODS))
def method(request) -> str:
    """Name of a combination of methods."""
    return request.param
