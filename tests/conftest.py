"""Fixtures that run a test over every host and method; how much of the tests runs.

A plain run is the quick set: of the tests over hosts, those of `QUICK_HOSTS`, and none
that is marked `slow`. `--hosts all -m ''` runs everything (`make test-all`);
`--hosts dab,dino` runs these hosts, `-m slow` what is slow.
"""

import pytest
from hypothesis import settings

from tiny_hosts import HOSTS, METHODS

# With denoising and without, one stage and two, multi-scale and single-scale.
QUICK_HOSTS = ('conditional', 'deformable_two_stage', 'dino')

# The same examples in every run, and no complaint about a busy machine.
settings.register_profile('repeatable', deadline=None, derandomize=True)
settings.load_profile('repeatable')


def hosts_named(names: str) -> set[str]:
    """The hosts that `--hosts` names."""
    hosts = set(HOSTS if names == 'all' else names.split(','))
    if unknown := sorted(hosts - set(HOSTS)):
        raise pytest.UsageError(
            f'--hosts names {unknown[0]!r}, which is no host: use '
            f"{', '.join(sorted(HOSTS))} or 'all'."
        )
    return hosts


def pytest_addoption(parser) -> None:
    parser.addoption(
        '--hosts',
        type=hosts_named,
        default=','.join(QUICK_HOSTS),
        help="hosts that tests over hosts run on: names, as 'dab,dino', or 'all' "
        '(default: %(default)s)',
    )
    parser.addoption(
        '--device',
        choices=('cuda', 'cpu'),
        default='cuda',
        help="where tests/gpu run; 'cpu' shows that the tests themselves work",
    )


def pytest_collection_modifyitems(config, items: list) -> None:
    """Leaves out the cases of hosts that were not asked for."""
    left_out = set(HOSTS) - config.getoption('hosts')
    kept, dropped = [], []
    for item in items:
        host = item.callspec.params.get('host') if hasattr(item, 'callspec') else None
        (dropped if host in left_out else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=dropped)


@pytest.fixture(params=sorted(HOSTS))
def host(request) -> str:
    """Name of a host."""
    return request.param


@pytest.fixture(params=sorted(METHODS))
def method(request) -> str:
    """Name of a combination of methods."""
    return request.param
