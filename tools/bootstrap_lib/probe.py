"""Says what an environment has. Run with *that* environment's Python; prints JSON.

Called by `tools/bootstrap.py` before and after it works. With `--heal` it first
removes what a broken-off pip left.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import shutil
import sys
from importlib import metadata
from pathlib import Path

import standin_wheel  # the script's own folder comes first on the path


def finished_distributions(heal: bool) -> tuple[dict[str, str], int]:
    """Return versions by normalised name; count half-installed ones swept away.

    A broken-off pip leaves a `.dist-info` without INSTALLER, which pip itself would
    take for an installed package ever after. Only swept where `heal` allows it: in an
    environment of our own, where nobody but pip installs.
    """
    versions: dict[str, str] = {}
    swept = 0
    for dist in metadata.distributions():
        folder = Path(str(getattr(dist, '_path', '')))
        inside = folder.is_relative_to(sys.prefix)
        if heal and inside and not dist.read_text('INSTALLER'):
            shutil.rmtree(folder, ignore_errors=True)
            swept += 1
            continue
        if dist.read_text('METADATA') or dist.read_text('PKG-INFO'):
            # The first on the path is the one Python imports.
            name = dist.metadata['Name'].lower().replace('_', '-')
            versions.setdefault(name, dist.version)
    return versions, swept


def torch_state() -> dict[str, object]:
    """Return version and CUDA of an importable torch, else why it is not importable."""
    try:
        import torch
    except Exception as error:  # a broken shared library raises OSError
        return {'version': '', 'error': f'{type(error).__name__}: {error}'}
    return {
        'version': torch.__version__,
        'cuda': torch.cuda.is_available(),
        'error': '',
    }


def binaries(package: str, stem: str) -> list[Path]:
    """List the compiled modules of that name in a package, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return []
    folder = Path(next(iter(spec.submodule_search_locations)))
    suffixes = importlib.machinery.EXTENSION_SUFFIXES
    return [file for x in suffixes if (file := folder / f'{stem}{x}').exists()]


def mmcv_ops_error(cuda: bool) -> str:
    """Return why mmcv's compiled operators cannot be used with this torch, or ''.

    Loads the extension alone: importing all of mmcv would take twice as long.
    """
    if importlib.util.find_spec('mmcv') is None:
        return 'mmcv is not installed'
    found = binaries('mmcv', '_ext')
    if not found:
        return 'this mmcv was installed without its compiled operators'
    try:
        spec = importlib.util.spec_from_file_location('_ext', found[0])
        extension = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(extension)
        built_for = extension.get_compiling_cuda_version()
    except Exception as error:
        return f'mmcv does not fit the installed torch ({str(error)[:120]})'
    if cuda and built_for == 'not available':
        return 'mmcv was built without CUDA but torch sees a GPU'
    return ''


def standin_fits(versions: dict[str, str]) -> bool:
    """Tell whether this project's stand-in for mmcv's operators is there and used."""
    spec = importlib.util.find_spec('mmcv')
    if not spec or not spec.origin or binaries('mmcv', '_ext'):
        return False
    current = versions.get(standin_wheel.NAME) == standin_wheel.VERSION
    current = current and bool({'mmcv-lite', 'onedl-mmcv'} & versions.keys())
    return current and Path(spec.origin).with_name('_ext.py').exists()


def imports(versions: dict[str, str]) -> dict:
    """Tell whether torch and mmcv's operators really load, and what that is based on.

    Importing torch takes seconds, so a good result is remembered in the environment
    and holds as long as the same binaries and the same GPU driver are there.
    """
    files = [*binaries('torch', '_C'), *binaries('mmcv', '_ext')]
    found_for = [
        versions.get('torch', ''),
        *(f'{x} {x.stat().st_size} {x.stat().st_mtime_ns}' for x in files),
        Path('/dev/nvidiactl').exists(),
        os.environ.get('CUDA_VISIBLE_DEVICES'),
        standin := standin_fits(versions),
    ]
    memory = Path(sys.prefix) / '.mmdet_qrpaq' / 'imports.json'
    with contextlib.suppress(OSError, ValueError):
        remembered = json.loads(memory.read_text())
        if remembered['found_for'] == found_for:
            return remembered
    # Imports may print warnings; standard output carries JSON only.
    with contextlib.redirect_stdout(io.StringIO()):
        torch = torch_state()
        ops = 'no torch'
        if torch['version']:
            ops = mmcv_ops_error(bool(torch['cuda']))
    result = {
        'found_for': found_for,
        'torch': torch,
        'mmcv_ops_error': ops,
        'standin': standin,
    }
    if torch['version'] and (not ops or standin):
        with contextlib.suppress(OSError):  # an environment that is only read
            memory.parent.mkdir(exist_ok=True)
            memory.write_text(json.dumps(result))
    return result


def main() -> None:
    """Print the state."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--heal', action='store_true')
    versions, swept = finished_distributions(parser.parse_args().heal)
    state = {
        'python': '.'.join(map(str, sys.version_info[:3])),
        'versions': versions,
        'swept': swept,
        'pkg_resources': importlib.util.find_spec('pkg_resources') is not None,
        **imports(versions),
    }
    print(json.dumps(state))


if __name__ == '__main__':
    main()
