"""Runs tests/gpu, a process for each host, and tells what failed."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from mmdet_qrpaq.records.provenance import ROOT

if TYPE_CHECKING:
    from benchmarks.gpu import Plan

HOSTS = (
    *('dino', 'dn_deformable', 'dab_deformable', 'deformable', 'deformable_refine'),
    *('deformable_two_stage', 'conditional', 'dab'),
)
CORES_EACH = 2


def measure(plan: 'Plan') -> dict:
    """Return passed, failed and skipped tests with reasons."""
    jobs = [['--hosts', host, 'tests/gpu/test_methods.py'] for host in HOSTS]
    jobs = [['tests/gpu/test_kernels.py', 'tests/gpu/test_resume.py'], *jobs]
    if plan.small:
        jobs = [['tests/gpu/test_methods.py', '--hosts', 'dino', '-k', 'qrpaq']]
    workers = max(1, len(os.sched_getaffinity(0)) // CORES_EACH)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        reports = [Path(folder) / f'{number}.xml' for number in range(len(jobs))]
        runs = [
            pool.submit(run_tests, job, plan, report)
            for job, report in zip(jobs, reports, strict=True)
        ]
        told: dict[str, Any] = dict(passed=0, failed=[], skipped=Counter())
        for run in runs:
            for key, value in run.result().items():
                told[key] += value
            plan.write(told)
    return told


def run_tests(arguments: list[str], plan: 'Plan', report: Path) -> dict:
    """Run them until the part is to end; return what is known then."""
    command = [sys.executable, '-m', 'pytest', '-v', '-m', '', '-p', 'no:cacheprovider']
    command += [f'--junitxml={report}', f'--device={plan.device}', *arguments]
    left = max(20.0, plan.ends - time.perf_counter())
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=dict(os.environ, OMP_NUM_THREADS='1'),
            timeout=left,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired as cut:  # whose output is in bytes
        text = (cut.stdout or b'').decode(errors='replace')
        failed = re.findall(r'(\S+) (?:FAILED|ERROR)', text)
        failed.append(f'{" ".join(arguments)}: not done after {left:.0f} s')
        return dict(passed=text.count(' PASSED'), failed=failed)
    if report.exists():
        return read_report(report)
    end = (done.stdout + done.stderr)[-1000:]
    return dict(failed=[f'{" ".join(arguments)}: {end}'])


def read_report(path: Path) -> dict:
    """Return what pytest's XML says."""
    passed, failed, skipped = 0, [], Counter()
    for case in ElementTree.parse(path).iter('testcase'):
        bad = next(
            (
                case.find(kind)
                for kind in ('failure', 'error')
                if case.find(kind) is not None
            ),
            None,
        )
        skip = case.find('skipped')
        if bad is not None:
            message = bad.get('message', '').splitlines()[:3]
            failed.append(f'{case.get("name")}: {" ".join(message)[:300]}')
        elif skip is not None:
            skipped[skip.get('message', '')[:200]] += 1
        else:
            passed += 1
    return dict(passed=passed, failed=failed, skipped=skipped)
