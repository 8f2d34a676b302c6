"""What a build of mmcv needs, how it is called, and how far it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from .running import SetupError, clock, last_line

CARDS = (
    'import torch; n = torch.cuda.device_count(); '
    'print(*sorted({"%d.%d" % torch.cuda.get_device_capability(i) for i in range(n)}))'
)
COMPILER_BYTES = 5 << 29  # what the largest unit takes, 2.3 GiB, and some
CXX_PROBE = '#include <Python.h>\n#include <vector>\nint main() { return 0; }\n'


def builds_cuda(torch: dict) -> bool:
    """Tell whether mmcv's own setup will compile CUDA kernels."""
    return bool(torch['cuda']) or os.environ.get('FORCE_CUDA', '0') == '1'


def cuda_cards(python: Path, torch: dict) -> str:
    """Return what CUDA kernels are compiled for, as `9.0`; empty if there are none.

    torch compiles for the visible cards itself unless the variable names others.

    Raises:
        SetupError: Kernels are asked for, but nothing says for which card.
    """
    if not builds_cuda(torch):
        return ''
    if named := os.environ.get('TORCH_CUDA_ARCH_LIST'):
        return named
    asked = [str(python), '-c', CARDS]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    cards = done.stdout.strip()
    if not cards:
        raise SetupError(
            'FORCE_CUDA=1 asks for CUDA kernels but no GPU is visible; name the '
            "architecture to compile for, for example TORCH_CUDA_ARCH_LIST='9.0'"
        )
    return cards


def default_jobs() -> int:
    """Return how many compilers to run: one a usable core, as far as memory goes."""
    if hasattr(os, 'sched_getaffinity'):
        cores = len(os.sched_getaffinity(0))
    else:  # macOS does not tell an affinity
        cores = os.cpu_count() or 1
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return max(1, min(cores, memory // COMPILER_BYTES))


def check_compiler(python: Path) -> None:
    """Refuse to start a long build that cannot end well.

    Raises:
        SetupError: No working C++ compiler, or no Python headers.
    """
    compiler = os.environ.get('CXX', 'c++')
    if not shutil.which(compiler.split()[0]):
        raise SetupError(
            f"mmcv must be compiled, but the C++ compiler '{compiler}' was not found; "
            'install one (Debian/Ubuntu: apt install g++, macOS: xcode-select '
            '--install) and run the same command again'
        )
    include = subprocess.run(
        [str(python), '-c', 'import sysconfig as s; print(s.get_path("include"))'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    tried = subprocess.run(
        [*compiler.split(), '-std=c++17', f'-I{include}']
        + ['-fsyntax-only', '-xc++', '-'],
        input=CXX_PROBE,
        capture_output=True,
        text=True,
    )
    if tried.returncode:
        error = next((x for x in tried.stderr.splitlines() if 'error' in x), '').strip()
        raise SetupError(
            f"mmcv must be compiled, but '{compiler}' cannot compile an extension of "
            f'Python ({error}); install a C++17 compiler and the Python headers (on '
            'Debian: apt install g++ python3-dev) and run the same command again'
        )


def describe_build(log_end: str, elapsed: float) -> str:
    """Return the live line of a build, from ninja's last `[i/n]`."""
    counts = re.findall(r'^\s*\[(\d+)/(\d+)\]', log_end, re.MULTILINE)
    if not counts:
        return f'preparing: {last_line(log_end)}'
    done, total = map(int, counts[-1])
    known = 8 * done >= total
    rest = f', about {clock(elapsed * (total - done) / done)} left' if known else ''
    return f'compiling mmcv {done}/{total} ({100 * done // total} %){rest}'


def wheel_command(python: Path, source: Path, out: Path) -> list[str]:
    """Return the command that compiles a source tree to a wheel in the folder `out`."""
    return [
        *(str(python), '-m', 'pip', 'wheel', '-v', '--no-build-isolation'),
        *('--no-deps', '--no-cache-dir', '-w', str(out), str(source)),
    ]


def build_environment(python: Path, jobs: str) -> dict[str, str]:
    """Return the environment of a build.

    Without debug symbols, which are 98 % of the library. Not in CFLAGS: setuptools 78
    takes them instead of Python's own flags, with which the optimisation would go.
    """
    return {
        **os.environ,
        'CPPFLAGS': f'{os.environ.get("CPPFLAGS", "")} -g0'.strip(),
        'MAX_JOBS': jobs,
        'MMCV_WITH_OPS': '1',
        # The first is where pip put ninja.
        'PATH': os.pathsep.join([str(python.parent), os.environ.get('PATH', '')]),
    }
