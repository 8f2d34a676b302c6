"""Lists of a config whose entries have a type: hooks, backends."""

from collections.abc import Iterable

from mmengine.config import Config

from ..class_name import class_name


def put(entries: Iterable | None, entry: dict) -> list:
    """Return the entries with one more, in the place of another of its type."""
    kind = class_name(entry['type'])
    found, placed = [], False
    for other in entries or ():
        if type_of(other) != kind:
            found.append(other)
        elif not placed:
            found.append(entry)
            placed = True
    return found if placed else [*found, entry]


def put_hook(cfg: Config, hook: dict) -> None:
    """Add a hook to those of a config, in the place of another of its type."""
    cfg.custom_hooks = put(cfg.get('custom_hooks'), hook)


def type_of(entry: object) -> str:
    """Return the bare name of the type of an entry, which may be built already."""
    return class_name(entry['type'] if isinstance(entry, dict) else type(entry))
