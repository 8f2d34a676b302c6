"""One tiny training run, shared by all tests of the tools."""

from pathlib import Path

import pytest

from tiny_runs import CLASSES, CONFIG, run_tool, write_dataset


@pytest.fixture(scope='session')
def dataset_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp('shapes') / 'data')


@pytest.fixture(scope='session')
def tiny_config(dataset_root: Path) -> Path:
    path = dataset_root.parent / 'tiny_dino.py'
    path.write_text(CONFIG.format(classes=CLASSES, root=str(dataset_root)))
    return path


@pytest.fixture(scope='session')
def tiny_run(tiny_config: Path) -> Path:
    """Work directory of an uninterrupted run: two epochs of two iterations."""
    work_dir = tiny_config.parent / 'uninterrupted'
    run_tool('train', tiny_config, '--work-dir', work_dir)
    return work_dir
