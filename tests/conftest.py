"""Fixtures that run a test over every host and method."""

import pytest

from tiny_hosts import HOSTS, METHODS


@pytest.fixture(params=sorted(HOSTS))
def host(request) -> str:
    """Name of a host."""
    return request.param


@pytest.fixture(params=sorted(METHODS))
def method(request) -> str:
    """Name of a combination of methods."""
    return request.param
