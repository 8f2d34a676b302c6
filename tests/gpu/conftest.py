"""The device of these tests; without it they are skipped."""

import pytest
import torch


@pytest.fixture
def device(pytestconfig) -> str:
    """`'cuda'`, with products of full single precision, or what `--device` says."""
    name = pytestconfig.getoption('--device')
    if name == 'cuda' and not torch.cuda.is_available():
        pytest.skip('torch finds no CUDA device here')
    tf32 = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield name
    torch.backends.cudnn.allow_tf32 = tf32
