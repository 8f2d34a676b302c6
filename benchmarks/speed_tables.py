"""Tables of speed, made from benchmarks/results/."""

from collections.abc import Sequence

from benchmarks import gpu_table
from benchmarks.recording import RESULTS, load, setting
from benchmarks.speed.models_table import models_table
from mmdet_qrpaq.records.tables import markdown


def routing_table(result: dict) -> str:
    """Return time with query routing over time without, and where it does not pay."""
    settings = result['settings']
    tables = []
    for host, measured in result['measured'].items():
        runs = measured['runs']
        head = ['queries that enter', 'executor']
        head += [f'decoder, batch {run["batch"]}' for run in runs]
        head += [f'whole model, batch {run["batch"]}' for run in runs]
        rows = [['all (host)', 'none', *host_seconds(runs)]]
        for timed in zip(*(run['variants'] for run in runs), strict=True):
            rows.append([timed[0]['share'], timed[0]['executor'], *ratios(timed)])
        floor = [run['one_query'] for run in runs]
        rows.append(['one query (host)', 'none', *ratios(floor)])
        title = f'**{host}**, {measured["queries"]} queries'
        table = markdown(head, rows)
        tables.append(f'{title}\n\n{table}\n\n{where_it_pays(runs)}')
    height, width = settings['size']
    tables.append(
        f'{height}x{width}, random weights, {settings["device"]}, '
        f'threads: {settings["threads"]}; medians of {settings["repeats"]} repetitions '
        f'(decoder) and {settings["whole_repeats"]} (the rest); {setting(result)}.'
    )
    return '\n\n'.join(tables)


def host_seconds(runs: list[dict]) -> list[str]:
    """Return cells of the host: decoder, then whole model."""
    decoder = [run['host_decoder_seconds']['median'] for run in runs]
    rest = [run['rest_seconds']['median'] for run in runs]
    whole = [a + b for a, b in zip(decoder, rest, strict=True)]
    return [f'{1000 * seconds:.0f} ms' for seconds in (*decoder, *whole)]


def ratios(timed: Sequence[dict]) -> list[str]:
    """Return cells of one variant at each batch size: decoder, then whole model."""
    cells = []
    for entry in timed:
        low, high = entry['decoder_ratio']['quartiles']
        cells.append(f'{entry["decoder_ratio"]["median"]:.2f} ({low:.2f}-{high:.2f})')
    return cells + [f'{entry["whole_ratio"]:.3f}' for entry in timed]


def where_it_pays(runs: list[dict]) -> str:
    """Return sentences on who is slower than the host, or not clearly faster."""
    slower, unclear = {}, {}
    for run in runs:
        for entry in run['variants']:
            low, high = entry['decoder_ratio']['quartiles']
            where = slower if low >= 1 else unclear if high >= 1 else None
            if where is not None:
                case = f'{entry["share"]} (batch {run["batch"]})'
                where.setdefault(entry['executor'], []).append(case)
    sentences = []
    for text, cases in (
        ('Slower than the host, so routing does not pay', slower),
        ('Neither clearly slower nor faster (its quartiles hold 1)', unclear),
    ):
        named = [f'`{name}` at {", ".join(found)}' for name, found in cases.items()]
        if named:
            sentences.append(f'{text}: {"; ".join(named)}.')
    return ' '.join(sentences) or 'Every variant makes the decoder faster.'


def routing_tables() -> str:
    """Return one table for each device that was measured."""
    paths = sorted(RESULTS.glob('routing_speed_*.json'))
    tables = [routing_table(load(path.stem)) for path in paths]
    return '\n\n'.join(tables) or 'Not measured yet.'


def mask_table(result: dict) -> str:
    """Return prediction time and training memory with masks over those without."""
    rows = []
    for run in result['measured']['runs']:
        low, high = run['ratio']['quartiles']
        cells = [
            f'prediction, batch {run["batch"]}, {run["masks_per_picture"]} masks an '
            'image',
            f'{1000 * run["boxes_seconds"]["median"]:.0f} ms',
            f'{1000 * run["masks_seconds"]["median"]:.0f} ms',
            f'{run["ratio"]["median"]:.2f} ({low:.2f}-{high:.2f})',
        ]
        rows.append(cells)
    for step in result['measured']['training_memory']:
        boxes, masks = step['boxes_bytes'], step['masks_bytes']
        cells = [f'training step, {step["objects"]} objects']
        cells += [f'{number / 2**20:.0f} MiB' for number in (boxes, masks)]
        rows.append([*cells, f'{masks / boxes:.2f}'])
    settings = result['settings']
    height, width = settings['size']
    table = markdown(('what', 'boxes only', 'with masks', 'ratio'), rows)
    return (
        f'{table}\n\n`{settings["config"]}`, {height}x{width}, random weights, '
        f'{settings["device"]}, threads: {settings["threads"]}; medians of '
        f'{settings["repeats"]} repetitions; {setting(result)}.'
    )


def mask_tables() -> str:
    """Return one table for each device that was measured."""
    paths = sorted(RESULTS.glob('masks_speed_*.json'))
    tables = [mask_table(load(path.stem)) for path in paths]
    return '\n\n'.join(tables) or 'Not measured yet.'


def attention_table() -> str:
    """Return how long deformable attention takes on a CPU, way by way."""
    if not (RESULTS / 'attention_speed_cpu.json').exists():
        return 'Not measured yet.'
    result = load('attention_speed_cpu')
    settings = result['settings']
    rows = []
    for case in result['measured']:
        place = f'{case["part"]}, {case["size"]} px'
        if case['queries']:
            place += f', {case["queries"]} queries'
        for mode in ('predict', 'train'):
            ways = case[mode]
            best = ways['grid_sample']['best_seconds']
            cells = [place, mode, f'{1000 * best:.0f} ms']
            for way in ('embedding_bag', "torch's backward"):
                low, high = ways[way]['ratio']['quartiles']
                median = ways[way]['ratio']['median']
                cells.append(f'{median:.2f} ({low:.2f}-{high:.2f})')
            sizes = [entry.get('memory_bytes') for entry in ways.values()]
            cells.append(f'{sizes[1] / sizes[0]:.2f}' if sizes[0] else '-')
            rows.append(cells)
    head = ('what', 'mode', '`grid_sample`', '`embedding_bag`', "with torch's backward")
    table = markdown((*head, 'memory'), rows, words=(0, 1))
    return (
        f'{table}\n\nBatch {settings["batch"]}, threads: {settings["threads"]}; the '
        f'quickest of {settings["repeats"]} repetitions, then medians of the ratio '
        f'to it, in brackets quartiles; {setting(result)}.'
    )


def model_tables() -> str:
    """Return whole models beside their hosts, a table for each device measured."""
    parts = []
    for path in sorted(RESULTS.glob('model_speed_*.json')):
        result = load(path.stem)
        settings = result['settings']
        height, width = settings['size']
        leaves = settings['family'].items()
        parts += [
            ', '.join(f'{name}: `{leaf}`' for name, leaf in leaves) + '.',
            models_table(result),
            f'{height}x{width}, random weights, {settings["device"]}, threads: '
            f'{settings["threads"]}; medians of {settings["repeats"]} repetitions, in '
            f'brackets quartiles; {setting(result)}.',
        ]
        if any(case['series'] != 'grid' for case in result['measured']):
            parts.append(f'![Growth with queries and objects](images/{path.stem}.png)')
    return '\n\n'.join(parts) or 'Not measured yet.'


def cpu_step_tables() -> str:
    """Return what `benchmarks/gpu.py --device cpu` measured, batch by batch."""
    parts = []
    for path in sorted(RESULTS.glob('cpu_*/steps.json')):
        parts += gpu_table.tables({'steps': load(f'{path.parent.name}/steps')})
    return '\n\n'.join(parts) or 'Not measured yet.'


def speed_in_short() -> str:
    """Return ratios to upstream's DINO, a table for each device and batch."""
    paths = sorted(RESULTS.glob('*/steps.json'))
    tables = [
        gpu_table.in_short(load(f'{path.parent.name}/{path.stem}')) for path in paths
    ]
    return '\n\n'.join(tables) or 'Not measured yet.'


def gpu_tables() -> str:
    """Return all that `benchmarks/gpu.py` measured."""
    results = {
        path.stem: load(f'gpu/{path.stem}') for path in RESULTS.glob('gpu/*.json')
    }
    parts = gpu_table.tables(results)
    if run := results.get('executors', {}).get('measured', {}).get('dino'):
        result = results['executors']
        settings = dict(result['settings'], **result['measured'], whole_repeats=2)
        routed = dict(result, settings=settings, measured=dict(dino=run))
        parts.append(f'**Routing executors**\n\n{routing_table(routed)}')
    return '\n\n'.join(parts) or 'Not measured yet.'
