"""Writes a mended copy of an annotation file, whole or not at all."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Raw

from ..errors import ConfigError
from .mends import Mend
from .reading import read_json

_LISTS = ('images', 'annotations', 'categories')


def write_mended(path: str, mends: Iterable[Mend], out: Path) -> None:
    """Write a copy of a COCO file in which some things are mended.

    What they do not touch is copied as it is written.

    Raises:
        ConfigError: If the copy cannot be written.
    """
    document = read_json(path, dict[str, Raw])
    for name in _LISTS:
        text = document.get(name, Raw(b'[]'))
        document[name] = msgspec.json.decode(text, type=list[dict[str, Raw]])
    for mend in mends:
        mend.apply(document)
    draft = out.with_name(f'{out.name}.partial')
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(msgspec.json.encode(document))
        draft.replace(out)
    except OSError as error:
        raise ConfigError(
            f'{out} cannot be written ({error.strerror}); choose another --work-dir.'
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink()
