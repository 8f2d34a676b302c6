"""Tables of the report, from the numbers that the analyses write."""

from collections.abc import Sequence

from .parts import Table


def percent(value: float | None, digits: int = 1) -> str:
    """A share in percent; a dash where there is none."""
    return '–' if value is None else f'{100 * value:.{digits}f}'


def plain(value: float | None, digits: int = 2) -> str:
    """A number; a dash where there is none."""
    return '–' if value is None else f'{value:.{digits}f}'


def model_tables(numbers: dict) -> list[Table]:
    """Models, then the data."""
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
            '–' if row['num_queries'] is None else str(row['num_queries']),
            '–' if row['num_layers'] is None else str(row['num_layers']),
            ', '.join(row['methods']) or 'none (host)',
        ]
        for row in numbers['models']
    ]
    tables = [Table('Models', columns, rows, words=(0, 1, 5))]
    for data in numbers['data']:
        seen_by = ', '.join(data['models'])
        absent = [name for name, count in data['classes'].items() if not count]
        caption = (
            f'Data of {seen_by}: {data["num_objects"]} objects in '
            f'{data["num_images"]} pictures'
        )
        if absent:
            caption += f'; never there: {", ".join(absent)}'
        counts = [*data['sizes'].items(), *data['classes'].items()]
        columns = ['', *(name for name, _ in counts)]
        rows = [['objects', *(str(count) for _, count in counts)]]
        tables.append(Table(caption, columns, rows))
    return tables


def precision_tables(numbers: dict) -> list[Table]:
    """AP by size, then by class."""
    models = numbers['models']
    by_size = [
        [m['name'], *map(percent, [*m['AP'].values(), m['AP_with_nms']])]
        for m in models
    ]
    tables = [Table('AP, %', ['model', *models[0]['AP'], 'AP with NMS'], by_size)]
    by_class: dict[tuple[str, ...], list] = {}
    for m in models:
        row = [m['name'], *map(percent, m['classes'].values())]
        by_class.setdefault(tuple(m['classes']), []).append(row)
    for classes, rows in by_class.items():
        tables.append(Table('AP by class, %', ['model', *classes], rows))
    return tables


def usage_tables(numbers: dict) -> list[Table]:
    """Gini coefficients."""
    columns = (
        'model',
        'Gini, matched',
        'Gini, confident and correct',
        'queries never matched',
    )
    rows = [
        [
            row['name'],
            plain(row['gini'], 3),
            plain(row['gini_confident'], 3),
            f'{row["unused_queries"]} of {row["num_queries"]}',
        ]
        for row in numbers['models']
    ]
    return [
        Table('Gini coefficient: 0 all queries alike, near 1 few do all', columns, rows)
    ]


def routing_tables(numbers: dict) -> list[Table]:
    """Queries that enter each layer, then shares by object."""
    rows = [
        [
            row['name'],
            plain(row['entered'], 1),
            plain(row['entered_std'], 1),
            percent(row['share']),
            percent(row['differing']),
            'yes' if row['collapsed'] else 'no',
        ]
        for row in numbers['layers']
    ]
    caption = (
        f'Queries that enter, of {numbers["num_queries"]}, over '
        f'{numbers["num_images"]} pictures'
    )
    columns = (
        'layer',
        'mean',
        'std',
        'share, %',
        'decisions that differ, %',
        'collapsed',
    )
    objects = numbers['objects']
    groups = [*objects['sizes'], *objects['classes'], objects['background']]
    shares = [
        [
            row['name'],
            str(row['queries']),
            *map(percent, row['entered']),
            percent(row['mean']),
        ]
        for row in groups
    ]
    layers = [row['name'] for row in numbers['layers']]
    by_object = ['object', 'queries', *layers, 'all layers']
    return [
        Table(caption, columns, rows),
        Table('Queries that enter, %, by their object', by_object, shares),
    ]


def ablation_tables(numbers: dict) -> list[Table]:
    """AP by attention left on, then by queries kept."""
    models = numbers['models']
    kept = list(models[0]['sublayers'])
    rows = [
        [m['name'], *(percent(m['sublayers'][name]['ap']) for name in kept)]
        for m in models
    ]
    tables = [Table('AP, %, by what is left of the decoder', ['model', *kept], rows)]
    for model in models:
        counts = [str(row['num_queries']) for row in model['fewer_queries']]
        rows = [
            [name, *(percent(row['precision'][key]) for row in model['fewer_queries'])]
            for name, key in (('AP', 'ap'), ('AP50', 'ap50'), ('AP75', 'ap75'))
        ]
        caption = f'{model["name"]}: %, by number of queries kept'
        tables.append(Table(caption, ['', *counts], rows))
    return tables


def weight_tables(numbers: dict) -> list[Table]:
    """Effective patterns by class."""
    rows = [
        [row['name'], str(row['num_detections']), plain(row['effective_patterns'])]
        for row in numbers['classes']
    ]
    rows.append(
        ['all queries', '–', plain(numbers['all_queries']['effective_patterns'])]
    )
    caption = (
        f'{numbers["num_patterns"]} patterns, mean absolute cosine '
        f'{plain(numbers["mean_abs_cosine"])}'
    )
    return [Table(caption, ('class', 'detections', 'effective patterns'), rows)]


def embedding_tables(numbers: dict) -> list[Table]:
    """How well the classes part."""
    columns = (numbers['points'], 'nearest neighbour of its class, %', 'by chance, %')
    row = [
        str(len(numbers['embedding'])),
        percent(numbers['neighbour_agreement']),
        percent(numbers['chance_agreement']),
    ]
    return [Table('Neighbours in W^D', columns, [row])]


def convergence_tables(numbers: dict) -> list[Table]:
    """AP by epoch."""
    steps = sorted({step for row in numbers['groups'] for step in row['AP']['step']})
    rows = []
    for row in numbers['groups']:
        values = dict(zip(row['AP']['step'], row['AP']['mean'], strict=True))
        rows.append([row['name'], *(percent(values.get(step)) for step in steps)])
    caption = f'Validation AP, %, by {numbers["step_of_ap"]}'
    return [Table(caption, ['run', *map(str, steps)], rows)]


def efficiency_tables(numbers: dict) -> list[Table]:
    """Costs, with ratios to the first model."""
    rows = []
    for model in numbers['models']:
        ratios = model['ratios']
        flops = model['flops']
        for batch, ratio in zip(model['batches'], ratios['batches'], strict=True):
            spread = ratio['seconds']
            low, high = spread['quartiles']
            rows.append(
                [
                    model['name'],
                    f'{model["params"] / 1e6:.2f} ({ratios["params"]:.3f})',
                    f'{flops["mean"] / 1e9:.4g} ± {flops["std"] / 1e9:.2g} '
                    f'({ratios["flops"]:.3f})',
                    str(batch['batch_size']),
                    plain(batch['peak_bytes'] / 1e6, 1),
                    plain(1000 * batch['p50'], 1),
                    plain(1000 * batch['p95'], 1),
                    f'{spread["median"]:.3f} ({low:.3f}–{high:.3f})',
                ]
            )
    protocol = numbers['protocol']
    caption = (
        f'In brackets: times the first model. {protocol["hardware"]}, '
        f'{protocol["device"]}, {protocol["threads"]} threads, {protocol["dtype"]}, '
        f'{len(protocol["pictures"])} pictures, {protocol["repeats"]} repetitions'
    )
    columns = (
        'model',
        'parameters, M',
        'GFLOPs',
        'batch',
        'memory, MB',
        'p50, ms',
        'p95, ms',
        'time, ratio (quartiles)',
    )
    return [Table(caption, columns, rows)]


def sampling_tables(numbers: dict) -> list[Table]:
    """The queries that were followed."""
    rows = [
        [picture['name'], str(query['index']), query['label'], plain(query['score'])]
        for picture in numbers['pictures']
        for query in picture['queries']
    ]
    columns = ('picture', 'query', 'class', 'score')
    return [Table('Queries that were followed', columns, rows, words=(0, 2))]


def outcome_tables(numbers: dict) -> list[Table]:
    """Counts over all pictures that were looked at."""
    keys: Sequence[str] = ('correct', 'wrong', 'missed', 'differing')
    rows = [[m['name'], *(str(m[key]) for key in keys)] for m in numbers['models']]
    caption = (
        f'Detections with a score of at least {numbers["score_threshold"]:g} in '
        f'{numbers["num_images"]} pictures with {numbers["num_objects"]} objects'
    )
    return [Table(caption, ('model', *keys), rows)]
