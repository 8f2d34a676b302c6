"""Folders to convert from and to."""

from pathlib import Path

import pytest

from annotation_files import Workbench


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """One blank image `a.png`, no annotations yet."""
    return Workbench(tmp_path)
