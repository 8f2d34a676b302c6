"""A folder to lay a data set out in, and to open."""

import pytest

from annotation_files import Workbench
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.formats.folder import open_folder


@pytest.fixture
def folder(tmp_path):
    """Where the data set is; not made yet."""
    return tmp_path / 'data'


@pytest.fixture
def opened(folder, tmp_path):
    """Open it, with copies in `out`."""
    return lambda **options: open_folder(folder, tmp_path / 'out', **options)


@pytest.fixture
def sentence(opened):
    """Open it in vain; the sentence of the error."""

    def refused(**options):
        with pytest.raises(ConfigError) as raised:
            opened(**options)
        text = str(raised.value)
        assert text.endswith('.') and '\n' not in text
        return text

    return refused


@pytest.fixture
def bench(tmp_path):
    """One blank image `a.png`, no annotations yet, and `to_coco.py` over them."""
    return Workbench(tmp_path)
