#!/usr/bin/env python
"""Build mmcv file by file and in groups, and compare cost and operators.

More than half an hour on a core that nobody else wants. What is built stays in
work_dirs/mmcv_build/ and is not built again; delete one of its folders for that.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import recording
from mmdet_qrpaq.records.provenance import ROOT, describe_environment
from mmdet_qrpaq.records.results import write_json
from tools.bootstrap_lib.compiling import (
    build_environment,
    describe_build,
    wheel_command,
)
from tools.bootstrap_lib.mmcv_wheel import MMCV_VERSION, unpack
from tools.bootstrap_lib.running import SetupError, run_logged

NAME = 'mmcv_build'
WORK = ROOT / 'work_dirs' / NAME
WAYS = ('file_by_file', 'grouped')
OPERATORS = ROOT / 'benchmarks' / 'mmcv_operators.py'
JOBS = '1'  # core time is compared: jobs side by side take it from each other


def build(way: str) -> dict:
    """Build a wheel and return its cost, which is that of the calling process.

    Raises:
        SetupError: The build failed.
    """
    folder, python = WORK / way, Path(sys.executable)

    def pip(args: list[str], what: str) -> str:
        return run_logged([str(python), '-m', 'pip', *args], WORK / 'pip.log', what)

    tree = unpack(pip, 'mmcv', MMCV_VERSION, folder, grouped=way == 'grouped')
    environment = build_environment(python, JOBS)
    if way == 'file_by_file':  # as pip does it
        del environment['CPPFLAGS']
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    log = run_logged(
        wheel_command(python, tree, folder / 'out'),
        WORK / f'{way}.log',
        f'building {way}',
        env=environment,
        describe=describe_build,
    )
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = dict(
        core_seconds=round(
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1
        ),
        wall_seconds=round(wall, 1),
        # Of the largest process.
        peak_rss_mib=after.ru_maxrss // (2**20 if sys.platform == 'darwin' else 2**10),
        units=int(re.findall(r'^\s*\[\d+/(\d+)\]', log, re.MULTILINE)[-1]),
    )
    # Last, and whole or not at all: says that the folder is complete.
    write_json(folder / 'cost.json', cost)
    shutil.rmtree(tree)
    return cost


def built(way: str) -> dict:
    """Return the cost of a way, which is built if it was not."""
    found = WORK / way / 'cost.json'
    if found.exists():
        print(f'{way}: found in {found.parent}', flush=True)
        return json.loads(found.read_text())
    print(f'{way}: building', flush=True)
    with ProcessPoolExecutor(1, get_context('spawn')) as pool:
        return pool.submit(build, way).result()


def unpacked(way: str) -> tuple[Path, dict]:
    """Return a folder to import the built mmcv from, and its sizes in bytes."""
    wheel = next((WORK / way / 'out').glob('*.whl'))
    site = WORK / way / 'site'
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    library = next((site / 'mmcv').glob('_ext.*'))
    sizes = dict(wheel_bytes=wheel.stat().st_size, library_bytes=library.stat().st_size)
    return site, sizes


def compare() -> dict:
    """Return costs, sizes and names of both ways, and how far their outputs differ."""
    import torch

    ways, outputs, names = {}, {}, {}
    for way in WAYS:
        cost = built(way)
        site, sizes = unpacked(way)
        saved = WORK / way / 'outputs.pt'
        subprocess.run(
            [sys.executable, OPERATORS, site, saved],
            env={**os.environ, 'PYTHONPATH': str(site)},
            check=True,
        )
        result = torch.load(saved)
        outputs[way], names[way] = result['outputs'], result['names']
        ways[way] = {**cost, **sizes, 'exported_names': len(names[way])}
    first, second = (outputs[way] for way in WAYS)
    return dict(
        ways=ways,
        core_seconds_ratio=round(
            ways['file_by_file']['core_seconds'] / ways['grouped']['core_seconds'], 1
        ),
        same_names=names['file_by_file'] == names['grouped'],
        operators={
            name: dict(
                tensors=len(first[name]),
                equal=all(map(torch.equal, first[name], second[name])),
            )
            for name in first
        },
    )


def main() -> None:
    """Write benchmarks/results/mmcv_build.json."""
    argparse.ArgumentParser(description=__doc__).parse_args()

    try:
        environment = describe_environment('cpu')
        measured = compare()
    except SetupError as error:
        sys.exit(str(error))
    path = recording.write(
        recording.RESULTS / f'{NAME}.json',
        NAME,
        environment,
        dict(mmcv=MMCV_VERSION, jobs=int(JOBS)),
        measured,
    )
    print(json.dumps(measured, indent=2))
    print(f'written: {path}')


if __name__ == '__main__':
    main()
