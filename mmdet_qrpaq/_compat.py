"""Checks mmengine, mmcv and mmdet before anything of theirs is used.

Called first by `mmdet_qrpaq/__init__.py`. The three come either from OpenMMLab or from
the OneDL forks, which install the same modules under other distribution names.
"""

import importlib
import pkgutil
import re
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

# Per family: module -> (distribution, first version that works, first that does not).
FAMILIES: dict[str, dict[str, tuple[str, str, str]]] = {
    'upstream': {
        'mmengine': ('mmengine', '0.10', '1.0'),
        'mmcv': ('mmcv', '2.0', '2.2'),
        'mmdet': ('mmdet', '3.3', '3.4'),
    },
    'onedl': {
        'mmengine': ('onedl-mmengine', '0.10', '1.0'),
        'mmcv': ('onedl-mmcv', '2.3', '2.4'),
        'mmdet': ('onedl-mmdetection', '3.4', '3.6'),
    },
}
_IMPORTED_FIRST = {'mmdet': 'mmengine and mmcv', 'mmcv': 'mmengine and torch'}


def check_host_versions() -> None:
    """Import mmengine, mmcv with its operators, and mmdet, and check their versions.

    Raises:
        ImportError: One is missing, broken or outside the supported window; the message
            is one sentence with the pip command that mends it.
    """
    family = _installed_family()
    if family == 'upstream' and not hasattr(pkgutil, 'find_loader'):
        raise ImportError(
            "OpenMMLab's mmengine calls pkgutil.find_loader, which Python "
            f'{sys.version_info[0]}.{sys.version_info[1]} dropped; use Python 3.13, or '
            f"OneDL's forks with {_install('onedl')} and then {_standin()}"
        )
    for module in ('mmengine', 'mmcv', 'mmdet'):
        _check_version(module, _import(module, family), family)
        if module == 'mmcv':
            _import_operators(family)


def _installed_family() -> str:
    """Return the installed family; refuse two distributions of one module."""
    families = (FAMILIES['upstream'].values(), FAMILIES['onedl'].values())
    pairs = [(upstream[0], onedl[0]) for upstream, onedl in zip(*families, strict=True)]
    pairs.append(('mmcv-lite', 'onedl-mmcv'))
    doubled = [pair for pair in pairs if all(map(_is_installed, pair))]
    if doubled:
        both = ' '.join(' '.join(pair) for pair in doubled)
        raise ImportError(
            f'{" and ".join(doubled[0])} are both installed and overwrite each other; '
            f"mend it with 'pip uninstall -y {both}' and then {_install('upstream')} "
            f'or {_install("onedl")}'
        )
    forks = (entry[0] for entry in FAMILIES['onedl'].values())
    return 'onedl' if any(map(_is_installed, forks)) else 'upstream'


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _install(family: str, module: str = '') -> str:
    """Return the command that installs a module, or the whole family."""
    modules = [module] if module else list(FAMILIES[family])
    wanted = (FAMILIES[family][name] for name in modules)
    specs = (f'"{name}>={first},<{last}"' for name, first, last in wanted)
    # mmcv's build imports torch and pkg_resources, which an isolated build lacks.
    flag = '--no-build-isolation ' if 'mmcv' in modules else ''
    return f"'pip install {flag}{' '.join(specs)}'"


def _import(module: str, family: str) -> ModuleType:
    command = _install(family, module)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            if module == 'mmcv':
                command = f'{_standin()}, or, compiled, with {command}'
            raise ImportError(
                f'mmdet_qrpaq needs {module}, which is not installed; '
                f'install it with {command}'
            ) from error
        raise ImportError(
            f"{module} cannot be imported because '{error.name}' is missing; "
            f"install it with 'pip install {error.name}'"
        ) from error
    except AssertionError as error:
        # How mmdet refuses the versions of the modules below it.
        raise ImportError(
            f'{module} refuses the installed {_IMPORTED_FIRST.get(module, "versions")} '
            f'({_first_line(error)}); mend it with {_install(family)}'
        ) from error
    except Exception as error:
        raise ImportError(
            f'{module} is installed but cannot be imported ({_first_line(error)}); '
            f'mend it with {_reinstall(command)}'
        ) from error


def _check_version(module: str, imported: ModuleType, family: str) -> None:
    _, first, last = FAMILIES[family][module]
    version = getattr(imported, '__version__', 'unknown')
    if not _numbers(first) <= _numbers(version) < _numbers(last):
        raise ImportError(
            f'mmdet_qrpaq needs {module}>={first},<{last}, '
            f'but {version} is installed; mend it with {_install(family, module)}'
        )


def _import_operators(family: str) -> None:
    try:
        importlib.import_module('mmcv.ops')
    except Exception as error:
        # A package without them (mmcv-lite), or a binary built for another torch.
        raise ImportError(
            f'the compiled operators of mmcv cannot be used ({_first_line(error)}); '
            f'let PyTorch stand in for them with {_standin()}, or compile them for '
            f'this torch with {_reinstall(_install(family, "mmcv"))}'
        ) from error


def _standin() -> str:
    """Return the command that puts mmcv in place without its compiled operators."""
    package = Path(__file__).parent
    installed = package / '.mim' / 'tools'
    tools = installed if installed.exists() else package.parent / 'tools'
    return f"'{sys.executable} {tools / 'operators.py'} standin'"


def _reinstall(command: str) -> str:
    # Without the cache, else pip would take the wheel that was built for another torch.
    return command.replace(
        'pip install', 'pip install --force-reinstall --no-deps --no-cache-dir'
    )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading release numbers: `'2.1.0rc4+cu121'` gives `(2, 1, 0)`."""
    found = re.match(r'\d+(\.\d+)*', version)
    return tuple(map(int, found[0].split('.'))) if found else ()


def _first_line(error: BaseException) -> str:
    """Return the start of an error, short enough to stand in a sentence."""
    lines = str(error).strip().splitlines() or ['']
    return f'{type(error).__name__}: {lines[0][:160].rstrip(". ")}'
