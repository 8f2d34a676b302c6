"""The first table of a report: its models, and the data they are run on."""

import json
from collections.abc import Sequence

from ...records.schema import COUNT, TEXT, fields, list_of, or_none, table_of
from ...records.tables import Table, plain
from ..object_sizes import object_counts
from ..trained_detector import TrainedModel

SCHEMA = fields(
    models=list_of(
        fields(
            name=TEXT,
            type=TEXT,
            parameters=COUNT,
            num_queries=or_none(COUNT),
            num_layers=or_none(COUNT),
            methods=list_of(TEXT),
        )
    ),
    data=list_of(
        fields(
            models=list_of(TEXT),
            num_images=COUNT,
            num_objects=COUNT,
            sizes=table_of(COUNT),
            classes=table_of(COUNT),
        )
    ),
)
_METHODS = dict(
    query_routing='query routing',
    pattern_query='patterns',
    mask_branch='masks',
    hybrid_branch='hybrid branch',
)


def measure(models: Sequence[TrainedModel]) -> tuple[dict, None]:
    """Return what `SCHEMA` describes; models with equal data share an entry of it."""
    data: dict[str, dict] = {}
    for model in models:
        entry = object_counts(model.dataloader.dataset)
        same = data.setdefault(json.dumps(entry), dict(models=[], **entry))
        same['models'].append(model.name)
    rows = [_describe(model) for model in models]
    return dict(models=rows, data=list(data.values())), None


def tables(numbers: dict) -> list[Table]:
    """List the models, then the data."""
    columns = (
        'model',
        'detector',
        'parameters, M',
        'queries',
        'decoder layers',
        'methods',
    )
    rows = [
        [
            row['name'],
            row['type'],
            plain(row['parameters'] / 1e6),
            plain(row['num_queries'], 0),
            plain(row['num_layers'], 0),
            ', '.join(row['methods']) or 'none (host)',
        ]
        for row in numbers['models']
    ]
    found = [Table('Models', columns, rows, words=(0, 1, 5))]
    for data in numbers['data']:
        absent = [name for name, count in data['classes'].items() if not count]
        caption = (
            f'Data of {", ".join(data["models"])}: {data["num_objects"]} objects in '
            f'{data["num_images"]} images'
        )
        if absent:
            caption += f'; never there: {", ".join(absent)}'
        counts = [*data['sizes'].items(), *data['classes'].items()]
        columns = ['', *(name for name, _ in counts)]
        rows = [['objects', *(str(count) for _, count in counts)]]
        found.append(Table(caption, columns, rows))
    return found


def _describe(model: TrainedModel) -> dict:
    detector, settings = model.detector, model.cfg.model
    layers = getattr(getattr(detector, 'decoder', None), 'layers', None)
    methods = [name for key, name in _METHODS.items() if settings.get(key) is not None]
    if (settings.get('bbox_head') or {}).get('quality') is not None:
        methods.append('quality-aware assignment')
    return dict(
        name=model.name,
        type=type(detector).__name__,
        parameters=sum(p.numel() for p in detector.parameters()),
        num_queries=getattr(detector, 'num_queries', None),
        num_layers=None if layers is None else len(layers),
        methods=methods,
    )
