"""What an installation consists of, and whether it can work."""

import importlib.metadata
import os
import platform
from importlib.util import find_spec
from typing import Any

from ..finding import Finding, Severity
from ..records.provenance import device_name, installed_versions
from ..version import __version__

MODULES = ('torch', 'mmengine', 'mmcv', 'mmdet', 'numpy', 'pycocotools', 'PIL')
STANDIN = 'mmdet-qrpaq-operators'


def describe_installation() -> tuple[dict[str, Any], list[Finding]]:
    """Return versions and devices, and what keeps the package from working."""
    described = {
        'python': platform.python_version(),
        'mmdet_qrpaq': __version__,
        **dict.fromkeys((name for name in MODULES if not find_spec(name)), 'missing'),
        **installed_versions(*filter(find_spec, MODULES)),
    }
    try:
        import mmdet_qrpaq

        mmdet_qrpaq.register()
    except ImportError as error:
        return described, [
            Finding(
                Severity.ERROR,
                'installation',
                'this environment',
                str(error).rstrip('.'),
                'the rest can be looked at then',
            )
        ]
    import torch

    count = torch.cuda.device_count()
    described['operators of mmcv'] = _operators()
    described['device'] = (
        f'{count} x {device_name()}' if count else f'CPU, {device_name()}'
    )
    described['cores'] = len(os.sched_getaffinity(0))
    return described, _unusable_operators(count)


def _operators() -> str:
    """Say what the operators are; the package is registered."""
    try:
        importlib.metadata.version(STANDIN)
    except importlib.metadata.PackageNotFoundError:
        from mmcv.ops import get_compiling_cuda_version

        return f'compiled, CUDA {get_compiling_cuda_version()}'
    return 'PyTorch stands in for them'


def _unusable_operators(gpus: int) -> list[Finding]:
    if not gpus or not _operators().endswith('not available'):
        return []
    return [
        Finding(
            Severity.ERROR,
            'operators',
            'mmcv',
            f'its operators were compiled without CUDA, and there are {gpus} GPUs',
            'compile them (tools/operators.py compiled), or let PyTorch stand in '
            '(tools/operators.py standin)',
        )
    ]
