"""Image files that no library writes."""

import struct
import zlib

import numpy as np


def huge_png(png: bytes) -> bytes:
    """A grey PNG whose header says 60000 x 60000 pixels."""
    header = b'IHDR' + struct.pack('>IIBBBBB', 60000, 60000, 8, 0, 0, 0, 0)
    header += struct.pack('>I', zlib.crc32(header))
    return png[:12] + header + png[12 + len(header) :]


def tiff(values: np.ndarray, channels: int, kind: int = 1) -> bytes:
    """A plain TIFF, four pixels wide; `kind`, its SampleFormat: 1 whole numbers."""
    end = '>' if values.dtype.byteorder == '>' else '<'
    bits = struct.pack(f'{end}{channels}H', *[8 * values.itemsize] * channels)
    tags = {256: 4, 257: values.size // channels // 4, 258: 0, 259: 1, 262: 1, 273: 0}
    tags |= {277: channels, 278: values.size // channels // 4, 279: values.nbytes}
    tags |= {338: 2, 339: kind}
    behind = 8 + 2 + 12 * len(tags) + 4
    tags[273] = behind + len(bits)
    found = (b'II*\0' if end == '<' else b'MM\0*') + struct.pack(
        f'{end}IH', 8, len(tags)
    )
    for tag, value in tags.items():
        field = struct.pack(f'{end}HHII', tag, 4, 1, value)
        if tag == 258:
            inside = bits.ljust(4, b'\0') if channels < 3 else None
            place = inside or struct.pack(f'{end}I', behind)
            field = struct.pack(f'{end}HHI', tag, 3, channels) + place
        found += field
    return found + bytes(4) + bits + values.tobytes()
