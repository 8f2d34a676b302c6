"""What a part of a config is, whichever way its type is written."""


def class_name(kind: str | type) -> str:
    """Return the bare name of a `type`: a name, one with a scope or module, a class."""
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__
