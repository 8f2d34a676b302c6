"""The plan of the house: which room may import what."""

import ast
from itertools import accumulate

from check_each import check_each
from tiny_hosts import REPOSITORY

PACKAGE = REPOSITORY / 'mmdet_qrpaq'
ROOMS = ('patterns', 'routing', 'quality', 'masks')
# What stands on what, from the ground up; a floor imports nothing from above itself.
FLOORS = (
    ('errors', 'version', '_compat', 'finding', 'class_name', 'written_config'),
    ('records', 'command_line', 'temporary_attribute', 'training_only', 'formats'),
    ('operating_points',),
    ('annotations',),
    ('matching', 'ops'),
    (*ROOMS, 'optim', 'images', 'backbones'),
    ('hosts', 'settings', 'evaluation'),
    ('presets',),
    ('runtime',),
    ('data',),
    ('analysis', 'doctor', 'warm_start'),
    ('prediction',),
    ('export', 'sweeps'),
)
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


def of(part: str) -> list:
    """The files of a room, or a module by itself."""
    return [
        p for p in SOURCES if p.relative_to(PACKAGE).parts[0] in (part, f'{part}.py')
    ]


def of_rooms():
    return [(path, room) for room in ('matching', 'ops', *ROOMS) for path in of(room)]


def begins(name: str, parts) -> bool:
    package, _, inner = name.partition('.')
    return package == 'mmdet_qrpaq' and inner.split('.')[0] in parts


def test_every_part_of_the_package_has_its_floor():
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix('.py') for path in SOURCES}
    assert parts - {'__init__', '.mim'} == {part for floor in FLOORS for part in floor}


def test_no_import_runs_up():
    def check(path, above):
        assert not [name for name in imported(path) if begins(name, above)]

    above = list(accumulate(reversed(FLOORS), initial=()))[-2::-1]
    check_each(
        check,
        [
            (path, higher)
            for floor, higher in zip(FLOORS, above, strict=True)
            for part in floor
            for path in of(part)
        ],
    )


def test_a_room_imports_no_other_room():
    def check(path, room):
        assert not [n for n in imported(path) if begins(n, {*ROOMS} - {room})]

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


def test_no_folder_grows_into_a_second_house():
    def check(folder):
        assert len(list(folder.glob('*.py'))) <= 12

    check_each(check, sorted({path.parent for path in SOURCES} - {PACKAGE}))
