"""Tables of what `gpu.py` measured."""

import re
from collections import Counter
from collections.abc import Iterator

from benchmarks.recording import setting
from mmdet_qrpaq.records.tables import markdown

MODES = dict(
    train='Training step',
    predict='Prediction',
    losses='Matching, losses and their gradients',
)
# The same as columns, in this order.
IN_SHORT = dict(train='training step', predict='prediction', losses='losses')
SINGLE = 'fp32'
UPSTREAM = 'upstream'
FEW = 7  # objects an image in most cells


def tables(results: dict[str, dict]) -> list[str]:
    """Return a block for each part that is there.

    Args:
        results: By name of the part.
    """
    makers = dict(
        tests=tests_told, steps=steps_tables, kernels=kernels_table, digits=digits_table
    )
    return [
        f'{make(results[name]["measured"])}\n\n{where(results[name])}'
        for name, make in makers.items()
        if name in results
    ]


def where(result: dict) -> str:
    """Return card, versions, date and commit, and what went wrong."""
    settings = result['settings']
    text = f'{setting(result)}; threads: {settings["threads"]}'
    if settings['device'] == 'cuda':
        switches = ', '.join(
            f'{name} {"on" if settings[key] else "off"}'
            for name, key in (
                ('products', 'matmul_tf32'),
                ('convolutions', 'cudnn_tf32'),
            )
        )
        text += f', CUDA {settings["cuda"]}, TF32 in {switches}'
    text += '.'
    if error := result['measured'].get('error'):
        text += f' Not finished: {error.splitlines()[0]}'
    return text


def tests_told(measured: dict) -> str:
    """Return how many tests passed, and which did not."""
    failed, skipped = measured.get('failed', ()), measured.get('skipped', {})
    counts = (
        f'{measured.get("passed", 0)} passed, {len(failed)} failed or cut off, '
        f'{sum(skipped.values())} skipped'
    )
    reasons = ''.join(f'\n- skipped: {reason}' for reason in skipped)
    # Over hosts and methods together, without the numbers.
    kinds = Counter(
        re.sub(r'\[.*?\]|:.*|\S+::|--hosts \w+', '', name) for name in failed
    )
    failures = ''.join(
        f'\n- {count} times: `{" ".join(kind.split())}`'
        for kind, count in kinds.items()
    )
    return (
        f'**Tests** (`tests/gpu`): {counts}.'
        + '\n' * bool(reasons + failures)
        + (reasons + failures)
    )


def steps_tables(measured: dict) -> str:
    """Return training and prediction, a row for each model and precision."""
    blocks = [
        f'**{title}**, {images_of(measured)}\n\n{steps_table(measured["cells"], mode)}'
        for mode, title in MODES.items()
        if any(cell['mode'] == mode for cell in measured['cells'])
    ]
    optimizers = ', '.join(
        f'{name} {told["groups"]}{" (fused)" * told["fused"]}'
        for name, told in measured.get('optimizers', {}).items()
    )
    errors = [
        f'- {cell["mode"]}, {cell["precision"]}, {cell["objects"]} objects, {name}: '
        f'{one["error"].splitlines()[0]}'
        for cell in measured['cells']
        for name, one in cell['models'].items()
        if 'error' in one
    ]
    blocks.append(
        f'Groups of parameters: {optimizers}. Medians, in brackets quartiles; counts '
        'and GPU time are of one more step, under the profiler. "waits": how often the '
        'host waits for the GPU.'
    )
    return '\n\n'.join([*blocks, *(['\n'.join(errors)] if errors else [])])


def in_short(result: dict) -> str:
    """Return how long each model takes over upstream's DINO, a column for each job."""
    measured = result['measured']
    cells = [cell for cell in measured['cells'] if cell['precision'] == SINGLE]
    cells.sort(key=lambda cell: (list(IN_SHORT).index(cell['mode']), cell['objects']))
    head = ['model', *(f'{IN_SHORT[c["mode"]]}, {c["objects"]} objects' for c in cells)]
    steps = [c['models'] for c in cells if (c['mode'], c['objects']) == ('train', FEW)]
    peak = {name: one.get('peak_bytes') for step in steps for name, one in step.items()}
    rows = []
    for name in measured['models']:
        row = [name, *(ratio_cell(cell['models'].get(name, {})) for cell in cells)]
        both = peak.get(name) and peak.get(UPSTREAM)
        rows.append([*row, f'{peak[name] / peak[UPSTREAM]:.2f}' if both else '-'])
    runs = {
        str(one['repeats'])
        for cell in cells
        for one in cell['models'].values()
        if 'repeats' in one
    }
    return (
        f'{markdown((*head, "memory of a step"), rows, words=(0,))}\n\n'
        f'{images_of(measured)}, {" or ".join(sorted(runs))} repetitions; '
        f'{where(result)}'
    )


def images_of(measured: dict) -> str:
    """Return number and size of the images."""
    height, width = measured['size']
    plural = 's' * (measured['batch'] > 1)
    return f'{measured["batch"]} image{plural} of {height}x{width}'


def steps_table(cells: list[dict], mode: str) -> str:
    """Return the rows of one mode."""
    head = ('precision', 'objects', 'model', 'ms', 'times upstream', 'GPU busy, ms')
    head += ('kernels', 'aten calls', 'waits', 'memory, MB', 'runs')
    rows = [
        [cell['precision'], str(cell['objects']), name, *step_cells(one)]
        for cell in cells
        if cell['mode'] == mode
        for name, one in cell['models'].items()
    ]
    return markdown(head, rows, words=(0, 2))


def step_cells(one: dict) -> Iterator[str]:
    """Yield numbers of one model, from milliseconds to repetitions."""
    yield milliseconds(one.get('seconds', {}).get('median'))
    yield ratio_cell(one, 3)
    yield milliseconds(one.get('busy_seconds'))
    for key in ('kernels', 'aten', 'waits'):
        yield '-' if one.get(key) is None else str(one[key])
    peak = one.get('peak_bytes')
    yield '-' if peak is None else f'{peak / 1e6:.0f}'
    yield str(one.get('repeats', '-'))


def ratio_cell(one: dict, digits: int = 2) -> str:
    """Return a median ratio and its quartiles; '-' for what was not measured."""
    if 'ratio' not in one:
        return '-'
    low, high = one['ratio']['quartiles']
    return f'{one["ratio"]["median"]:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})'


def milliseconds(seconds: float | None) -> str:
    """Return a cell; '-' for what was not measured."""
    return '-' if seconds is None else f'{1000 * seconds:.1f}'


def kernels_table(measured: dict) -> str:
    """Return errors and times of deformable attention."""
    head = ('deformable attention', 'precision', 'error of output', 'of gradients')
    head += ("of the locations' own", 'kernel, ms', 'with gradients')
    head += ('PyTorch, ms', 'with gradients')
    rows = []
    for run in measured['runs']:
        found = run.get('errors', {})
        largest = [
            max((found[name] for name in names if name in found), default=None)
            for names in (['output'], ['value', 'weights'], ['locations'])
        ]
        cells = ['-' if error is None else f'{error:.1e}' for error in largest]
        cells += [
            milliseconds(run.get('seconds', {}).get(name, {}).get('median'))
            for name in ('compiled_forward', 'compiled_both_ways')
            + ('plain_forward', 'plain_both_ways')
        ]
        rows.append([run['part'], run['precision'], *cells])
    table = markdown(head, rows, words=(0, 1))
    errors = [
        f'- {run["part"]}, {run["precision"]}: {run["error"]}'
        for run in measured['runs']
        if 'error' in run
    ]
    told = (
        'Errors are of the largest number, against double precision. The gradient of a '
        "location jumps at a pixel's centre, and of millions of points some lie there "
        'but for rounding: docs/upstream.md.'
    )
    return '\n\n'.join([table, told, *(['\n'.join(errors)] if errors else [])])


def digits_table(measured: dict) -> str:
    """Return the loss at the end in each precision, over that in single."""
    head = ('precision', 'loss at the end', f'over {SINGLE}', 'no numbers')
    rows = []
    for name, one in measured.get('precisions', {}).items():
        loss, ratio = one.get('last_loss'), one.get('ratio')
        rows.append(
            [
                name,
                '-' if loss is None else f'{loss:.3f}',
                '-' if ratio is None else f'{ratio:.3f}',
                str(one.get('not_finite', '-')),
            ]
        )
    errors = [
        f'- {name}: {one["error"]}'
        for name, one in measured.get('precisions', {}).items()
        if 'error' in one
    ]
    table = (
        f'**Mixed precision**: `{measured.get("config", "-")}`, '
        f'{measured.get("iterations", 0)} iterations on the digits, the mean of the '
        f'last tenth of the losses\n\n{markdown(head, rows, words=(0,))}'
    )
    return '\n\n'.join([table, *(['\n'.join(errors)] if errors else [])])
