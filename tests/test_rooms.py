"""The plan of the house: which room may import what."""

import ast

from check_each import check_each
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


def of_rooms():
    return [(p, room) for room in ROOMS for p in sorted((PACKAGE / room).rglob('*.py'))]


def test_a_room_imports_neither_another_room_nor_the_hosts():
    def check(path, room):
        forbidden = tuple(
            f'mmdet_qrpaq.{other}'
            for other in (*ROOMS, 'hosts', 'analysis', 'runtime')
            if other != room
        )
        assert not [n for n in imported(path) if n.startswith(forbidden)]

    check_each(check, of_rooms())


def test_only_hosts_and_mixins_know_the_models_of_mmdet():
    # Losses and assigners are parts a room may build on; detectors and heads are not.
    joins = ('mmdet.models.detectors', 'mmdet.models.dense_heads')

    def check(path, room):
        if not path.stem.endswith('mixin'):
            assert not [n for n in imported(path) if n.startswith(joins)]

    check_each(check, of_rooms())


def test_no_file_grows_into_a_second_room():
    def check(path):
        assert path.stem != 'utils'
        assert len(path.read_text().splitlines()) <= 300

    check_each(check, SOURCES)
