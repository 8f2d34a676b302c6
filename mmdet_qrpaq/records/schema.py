"""JSON schemas of results, in few words."""

NUMBER = {'type': 'number'}
COUNT = {'type': 'integer', 'minimum': 0}
SHARE = {'type': 'number', 'minimum': 0, 'maximum': 1}
TEXT = {'type': 'string'}
YES_NO = {'type': 'boolean'}


def fields(**properties: dict) -> dict:
    """Return the schema of an object that has exactly these fields."""
    return {
        'type': 'object',
        'properties': properties,
        'required': list(properties),
        'additionalProperties': False,
    }


def list_of(items: dict) -> dict:
    """Return the schema of a list."""
    return {'type': 'array', 'items': items}


def table_of(values: dict) -> dict:
    """Return the schema of an object with any names."""
    return {'type': 'object', 'additionalProperties': values}


def or_none(schema: dict) -> dict:
    """Return the schema of what may be missing."""
    return {'anyOf': [schema, {'type': 'null'}]}
