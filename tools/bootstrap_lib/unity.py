"""Compiles many C++ and CUDA sources as few: generated files include the others.

Nearly all the time one source of mmcv takes goes into torch's headers. Sources that
would disturb each other in one file are found by reading them. The reading errs on the
side of caution where it errs, and a build that fails all the same is done file by file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

CSRC = Path('mmcv', 'ops', 'csrc')
INCLUDE_DIRS = ('common', 'common/cuda', 'pytorch')
# What mmcv's setup.py compiles: folders below `pytorch` (its patterns see direct
# children alone), the suffix under which an included file is no source to it but still
# is packed, and how many go together: fewer where each is dear, to feed all jobs.
KINDS = (('.cpp', ('', 'cpu'), '.hpp', 20), ('.cu', ('cuda',), '.cuh', 8))
UNIT = 'unit_{}{}'

NOISE = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S
)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]([^">]+)[">]', re.M)
DIRECTIVE = re.compile(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', re.M)
DEFINE = re.compile(r'#\s*define\s+(\w+)')
UNDEF = re.compile(r'#\s*undef\s+(\w+)')
TEMPLATE = re.compile(r'template\s*<(?:[^<>]|<(?:[^<>]|<[^<>]*>)*>)*>')
ATTRIBUTE = re.compile(r'\b__\w+\s*\0')
TYPE = re.compile(r'\b(?:enum\s+class|enum|class|struct|union)\s+(\w+)')
CALL = re.compile(r'(\w+)\s*\0')
ASSIGNED = re.compile(r'(\w+)\s*(?:\[[^]]*\]\s*)*=')
# Not members, nor what a library's name stands before.
WORD = re.compile(r'(?<![\w.])(?<!->)(?<!\bstd::)(?<!\bat::)(?<!\btorch::)[A-Za-z_]\w*')


@dataclass
class Source:
    """What one file, without its headers, puts into the scope it is compiled in.

    Attributes:
        defined: Functions, types and variables of file or namespace scope, and macros.
        declared: Functions it announces without a body.
        mentioned: All identifiers but members and names of libraries, as `std::max`.
        leaks: Whether it changes the meaning of what follows: a macro that is left
            defined, `using namespace`.
        includes: Names of the headers it includes.
        readable: Whether its braces match; what is defined is unknown otherwise.
        guarded: Whether including it twice is including it once.
    """

    defined: set[str] = field(default_factory=set)
    declared: set[str] = field(default_factory=set)
    mentioned: set[str] = field(default_factory=set)
    leaks: bool = False
    includes: list[str] = field(default_factory=list)
    readable: bool = True
    guarded: bool = False


def read_source(text: str) -> Source:
    """Read one file."""
    includes = INCLUDE.findall(text)
    text = NOISE.sub(lambda match: '""' if match[0][0] == '"' else ' ', text)
    directives = DIRECTIVE.findall(text)
    macros = set(DEFINE.findall('\n'.join(directives)))
    macros -= set(UNDEF.findall('\n'.join(directives)))
    first = directives[0].split() if directives else []
    guarded = first[:1] == ['#ifndef'] or any('pragma once' in x for x in directives)
    source = Source(
        defined=set(macros),
        mentioned=set(WORD.findall(text)),
        leaks=bool(macros),
        includes=includes,
        guarded=guarded,
    )
    code = DIRECTIVE.sub('', text)
    _read_scope(code, source)
    return source


def _read_scope(code: str, source: Source) -> None:
    """Split code into statements of file or namespace scope and read each."""
    open_braces: list[bool] = []  # True: a body, in which nothing is of that scope
    start = 0
    for match in re.finditer('[{};]', code):
        if match[0] == '}':
            if not open_braces:
                source.readable = False
                return
            open_braces.pop()
        elif match[0] == '{':
            head = code[start : match.start()]
            space = re.search(r'\bnamespace\b[\s\w:]*$|\bextern\s*""\s*$', head)
            if not space and True not in open_braces:
                _read_statement(head, source, has_body=True)
            open_braces.append(not space)
        elif True not in open_braces:
            _read_statement(code[start : match.start()], source, has_body=False)
        if True not in open_braces:
            start = match.end()
    source.readable = not open_braces


def _read_statement(text: str, source: Source, has_body: bool) -> None:
    text = TEMPLATE.sub('', text).strip()
    while (flat := re.sub(r'\([^()]*\)', '\0', text)) != text:
        text = flat
    text = ATTRIBUTE.sub('', text)
    functions = CALL.findall(text)
    if re.match(r'using\s+namespace\b', text):
        source.leaks = True
    elif assigned := ASSIGNED.findall(text):
        source.defined.add(assigned[0])
    elif functions:
        (source.defined if has_body else source.declared).update(functions)
    elif has_body:
        source.defined.update(TYPE.findall(text))
    elif not re.match(r'(using|extern|struct|class|enum|union)\b', text):
        source.defined.update(re.findall(r'(\w+)\W*$', text))  # variable, typedef


class Sources:
    """Tells which of mmcv's sources fit into one compilation.

    Args:
        csrc: Folder `mmcv/ops/csrc`.
    """

    def __init__(self, csrc: Path) -> None:
        self.csrc = csrc
        self.read = cache(lambda path: read_source(path.read_text(errors='replace')))
        self.closure = cache(self._closure)

    def _header(self, name: str, includer: Path) -> Path | None:
        folders = [includer.parent, *(self.csrc / x for x in INCLUDE_DIRS)]
        found = (path for x in folders if (path := x / name).is_file())
        return next((path.resolve() for path in found), None)

    def _closure(self, path: Path) -> dict[Path, Source]:
        """Return a source and all headers of mmcv that it includes."""
        found, todo = {}, [path]
        while todo:
            file = todo.pop()
            if file not in found:
                found[file] = self.read(file)
                headers = (self._header(x, file) for x in found[file].includes)
                todo += [header for header in headers if header]
        return found

    def clash(self, one: Path, other: Path) -> bool:
        """Tell whether two sources need compilations of their own.

        They do where one defines a name that the other defines as well, or that the
        other mentions without declaring it: there it is a name of a library, and would
        silently come to mean something else.
        """
        pair = self.closure(one), self.closure(other)
        if not all(x.readable for files in pair for x in files.values()):
            return True
        for mine, others in (pair, pair[::-1]):
            shared = {x for x in mine.keys() & others.keys() if mine[x].guarded}
            names = set().union(*(mine[x].defined for x in mine.keys() - shared))
            declared = set().union(*(x.declared for x in others.values()))
            for path in others.keys() - shared:
                strange = others[path].mentioned - declared
                if names & (others[path].defined | strange):
                    return True
        return False

    def groups(self, paths: list[Path], most: int) -> list[list[Path]]:
        """Share sources out among few, evenly filled groups without a clash.

        A source that leaks is the last of its group.

        Args:
            paths: The sources.
            most: Greatest size of a group.
        """
        groups: list[list[Path]] = [[] for _ in range(-(-len(paths) // most))]
        for path in sorted(paths, key=lambda x: (self.read(x).leaks, x)):
            fitting = [
                group
                for group in groups
                if len(group) < most
                and not any(self.read(x).leaks or self.clash(path, x) for x in group)
            ]
            if not fitting:
                groups.append([])
                fitting = groups[-1:]
            min(fitting, key=lambda x: sum(y.stat().st_size for y in x)).append(path)
        return [group for group in groups if group]


def group_sources(tree: Path) -> None:
    """Rewrite an unpacked source tree so that its own setup compiles few units.

    Grouped sources get a suffix that setup passes over, at their old place, where what
    they include is still found; a source that fits nowhere is left as it is.

    Args:
        tree: The folder with mmcv's `setup.py`.
    """
    sources = Sources(tree.resolve() / CSRC)
    for suffix, folders, hidden, most in KINDS:
        folders = [sources.csrc / 'pytorch' / x for x in folders]
        paths = [path for x in folders for path in x.glob(f'*{suffix}')]
        for number, group in enumerate(sources.groups(paths, most), 1):
            if len(group) == 1:
                continue
            lines = []
            for path in group:
                part = path.rename(f'{path}{hidden}')
                lines.append(f'#include "{part.relative_to(folders[0])}"\n')
            (folders[0] / UNIT.format(number, suffix)).write_text(''.join(lines))


def is_grouped(tree: Path) -> bool:
    """Tell whether `group_sources` has rewritten the tree."""
    return any((tree / CSRC / 'pytorch').rglob(UNIT.format('*', '.c*')))
