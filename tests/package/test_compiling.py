"""How the compiler of mmcv is called: flags, jobs, cards."""

import os
import sys
from pathlib import Path

import pytest

from bootstrap_lib import compiling, mmcv_wheel, running


def test_users_flags_stay(monkeypatch):
    monkeypatch.setenv('CPPFLAGS', '-DMINE')
    environment = compiling.build_environment(Path(sys.executable), '3')
    assert environment['CPPFLAGS'] == '-DMINE -g0'
    assert environment['MAX_JOBS'] == '3'


@pytest.mark.parametrize(('gib', 'jobs'), [(1, 1), (4, 1), (8, 3), (20, 8), (64, 8)])
def test_memory_bounds_the_compilers_run_at_once(monkeypatch, gib, jobs):
    pages = {'SC_PAGE_SIZE': 4096, 'SC_PHYS_PAGES': gib << 18}
    monkeypatch.setattr(os, 'sysconf', pages.get)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: range(8), raising=False)
    assert compiling.default_jobs() == jobs  # of eight cores, 2.5 GiB each


# Cards.


def test_kernels_for_other_cards_are_another_wheel(monkeypatch):
    monkeypatch.setenv('TORCH_CUDA_ARCH_LIST', '8.0;9.0+PTX')
    torch = {'version': '2.6.0+cu124', 'cuda': True}
    cards = compiling.cuda_cards(Path(sys.executable), torch)
    key = mmcv_wheel.cache_key('mmcv-2.1.0', torch, '3.11.7', cards)
    assert key.endswith('-ops-cuda-8.0-9.0+PTX')
    assert compiling.cuda_cards(Path(sys.executable), {**torch, 'cuda': False}) == ''


def test_kernels_without_a_card_ask_for_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv('FORCE_CUDA', '1')
    monkeypatch.delenv('TORCH_CUDA_ARCH_LIST', raising=False)
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\necho\n')
    python.chmod(0o755)
    with pytest.raises(running.SetupError, match="TORCH_CUDA_ARCH_LIST='9.0'"):
        compiling.cuda_cards(python, {'version': '2.6.0', 'cuda': False})
