"""Packs `mmcv_ext.py` as a distribution that pip puts in place and takes away.

mmcv-lite and a build of OneDL's mmcv without a compiler hold all of mmcv but the module
`mmcv._ext`. The wheel adds that one file.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

NAME = 'mmdet-qrpaq-operators'
SOURCE = Path(__file__).with_name('mmcv_ext.py')
# Another text is another version, so that an old one is replaced.
VERSION = '1+' + hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]


def write_wheel(folder: Path) -> Path:
    """Write the wheel into a folder and return its path."""
    stem = f'{NAME.replace("-", "_")}-{VERSION}'
    info = f'{stem}.dist-info'
    files = {
        'mmcv/_ext.py': SOURCE.read_bytes(),
        f'{info}/METADATA': (
            f'Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n'
            "Summary: Stands in for mmcv's compiled operators where nothing compiles\n"
            'License: Apache-2.0\n'
        ).encode(),
        f'{info}/WHEEL': (
            b'Wheel-Version: 1.0\nGenerator: mmdet_qrpaq\n'
            b'Root-Is-Purelib: true\nTag: py3-none-any\n'
        ),
    }
    record = [
        f'{name},sha256={_digest(content)},{len(content)}\n'
        for name, content in files.items()
    ]
    files[f'{info}/RECORD'] = ''.join([*record, f'{info}/RECORD,,\n']).encode()
    wheel = folder / f'{stem}-py3-none-any.whl'
    with zipfile.ZipFile(wheel, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return wheel


def _digest(content: bytes) -> str:
    digest = hashlib.sha256(content).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b'=').decode()
