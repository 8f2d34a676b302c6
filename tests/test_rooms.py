"""The plan of the house: which room may import what."""

import ast

import pytest

from tiny_hosts import REPOSITORY

PACKAGE = REPOSITORY / 'mmdet_qrpaq'
ROOMS = ('patterns', 'routing', 'quality', 'masks')
SOURCES = sorted(PACKAGE.rglob('*.py'))


def imported(path) -> set[str]:
    """Absolute dotted names a module imports."""
    package = ('mmdet_qrpaq', *path.relative_to(PACKAGE).parent.parts)
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = '.'.join((*base, *filter(None, [node.module])))
            names |= {f'{module}.{alias.name}' for alias in node.names}
    return names


@pytest.mark.parametrize('room', ROOMS)
def test_a_room_imports_neither_another_room_nor_the_hosts(room):
    forbidden = tuple(
        f'mmdet_qrpaq.{other}'
        for other in (*ROOMS, 'hosts', 'analysis', 'runtime')
        if other != room
    )
    for path in (PACKAGE / room).rglob('*.py'):
        assert not [n for n in imported(path) if n.startswith(forbidden)], path


@pytest.mark.parametrize('room', ROOMS)
def test_only_hosts_and_mixins_know_the_models_of_mmdet(room):
    # Losses and assigners are parts a room may build on; detectors and heads are not.
    joins = ('mmdet.models.detectors', 'mmdet.models.dense_heads')
    for path in (PACKAGE / room).rglob('*.py'):
        if path.stem.endswith('mixin'):
            continue
        assert not [n for n in imported(path) if n.startswith(joins)], path


@pytest.mark.parametrize(
    'path', SOURCES, ids=[str(p.relative_to(PACKAGE)) for p in SOURCES]
)
def test_no_file_grows_into_a_second_room(path):
    assert path.stem != 'utils'
    assert len(path.read_text().splitlines()) <= 300
