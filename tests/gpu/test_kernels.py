"""mmcv's compiled deformable attention against the PyTorch code in double precision."""

import math

import pytest

from benchmarks.gpu_parts.kernels import DTYPES, errors, make_inputs

# Of the largest number. In half precision a location may fall into the next cell, where
# its own gradient is another.
TOLERANCES = dict(fp32=1e-4, fp16=5e-2)


@pytest.mark.parametrize('precision', TOLERANCES)
@pytest.mark.parametrize('queries', [0, 7])
def test_output_and_gradients(device, precision, queries):
    if device == 'cpu' and precision == 'fp16':
        pytest.skip('PyTorch has no half precision of it on a CPU')
    inputs, *levels = make_inputs(2, queries, [20, 10, 5], device, DTYPES[precision])
    found = errors(inputs, *levels)
    assert all(math.isfinite(error) for error in found.values()), found
    if precision == 'fp16':
        del found['locations']
    assert all(error <= TOLERANCES[precision] for error in found.values()), found
