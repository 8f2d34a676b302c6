"""Tables and figures of the pages, made from benchmarks/results/.

Called by `tables.py`, which writes them.
"""

import re
from pathlib import Path

from benchmarks import cost_table, export_table, speed_tables
from benchmarks.accuracy import accuracy_tables
from benchmarks.accuracy.accuracy_tables import decided
from benchmarks.accuracy.warm_start_table import (
    draw_warm_start,
    is_measured,
    warm_start_tables,
)
from benchmarks.recording import RESULTS, load, setting
from benchmarks.speed.models_table import draw_growth
from mmdet_qrpaq.records.provenance import ROOT
from mmdet_qrpaq.records.tables import markdown

README = ROOT / 'README.md'


def demo_table() -> str:
    """Return what `make demo` reached."""
    result = load('demo_digits')
    measured = result['measured']
    cells = [f'{measured[key]:.3f}' for key in ('AP', 'AP50', 'AP75')]
    cells += [f'{measured["gini"]:.2f}', f'{measured["training_minutes"]:.1f} min']
    seconds = measured.get('seconds', {})  # not in older results
    for kind in ('wall', 'cpu'):
        minutes = sum(spent[kind] for spent in seconds.values()) / 60
        cells.append(f'{minutes:.1f} min' if seconds else '-')
    head = ('AP', 'AP50', 'AP75', 'Gini of query use', 'training', 'all steps', 'CPU')
    seed = result['settings']['seed']
    return f'{markdown(head, [cells])}\n\nOne run, seed {seed}; {setting(result)}.'


def mmcv_build_table() -> str:
    """Return what compiling mmcv costs, source by source and many in one."""
    if not (RESULTS / 'mmcv_build.json').exists():
        return 'Not measured yet.'
    result = load('mmcv_build')
    measured = result['measured']
    ways = dict(file_by_file='file by file', grouped='in groups, `-g0`')
    head = ('build', 'units', 'core minutes', 'library, MB', 'names')
    head += ('largest compiler, GB',)
    rows = []
    for way, told in ways.items():
        cost = measured['ways'][way]
        cells = [told, str(cost['units']), f'{cost["core_seconds"] / 60:.1f}']
        cells += [f'{cost["library_bytes"] / 1e6:.1f}', str(cost['exported_names'])]
        rows.append([*cells, f'{cost["peak_rss_mib"] / 1024:.1f}'])
    operators = measured['operators']
    unequal = ', '.join(name for name in operators if not operators[name]['equal'])
    return '\n'.join(
        [
            markdown(head, rows, words=(0,)),
            '',
            f'{measured["core_seconds_ratio"]:.1f} times less work, '
            f'{"the same" if measured["same_names"] else "other"} names. Outputs and '
            f'gradients of {", ".join(f"`{name}`" for name in operators)} on random '
            f'input: {f"unequal for {unequal}" if unequal else "equal, bit for bit"}.',
            '',
            f'mmcv {result["settings"]["mmcv"]}, CPU operators, one compiler at a '
            f'time; {setting(result)}.',
        ]
    )


def draw_figures() -> None:
    """Draw AP curves of the studies, and how the time of models grows."""
    for path in RESULTS.glob('model_speed_*.json'):
        result = load(path.stem)
        if any(case['series'] != 'grid' for case in result['measured']):
            figure = draw_growth(result['measured'], result['settings'])
            figure.savefig(ROOT / 'docs' / 'images' / f'{path.stem}.png', dpi=110)
    accuracy_tables.draw_curves_of_methods()
    if is_measured():
        path = ROOT / 'docs' / 'images' / 'warm_start.png'
        draw_warm_start().savefig(path, dpi=110)


DECISIONS = ROOT / 'docs' / 'decisions'
# Studies of what the papers' sentences can mean.
READINGS = (
    *('quality_hungarian', 'pattern_levels', 'varifocal_targets'),
    *('routing_text', 'routing_boxes'),
)
# Generated blocks by file.
PAGES = {
    README: {
        'demo results': demo_table,
        'cost': cost_table.pair_table,
        'accuracy in short': accuracy_tables.summary,
    },
    ROOT / 'docs' / 'cost.md': {'cost rows': cost_table.rows_table},
    ROOT / 'docs' / 'speed.md': {
        'speed in short': speed_tables.speed_in_short,
        'attention speed': speed_tables.attention_table,
    },
    ROOT / 'docs' / 'speed_tables.md': {
        'routing speed': speed_tables.routing_tables,
        'model speed': speed_tables.model_tables,
        'cpu steps': speed_tables.cpu_step_tables,
        'gpu': speed_tables.gpu_tables,
    },
    DECISIONS / '0003-routing-policy.md': {
        'routing policy': decided('routing_policy'),
        'routing parts': decided('routing_parts'),
        'routing sites': decided('routing_sites'),
    },
    DECISIONS / '0004-open-choices.md': {
        name.replace('_', ' '): decided(name)
        for name in (
            'router_start',
            'router_input',
            'routing_ffn',
            'varifocal',
            'quality_confidence',
            'quality_normalizer',
            'weight_mlp',
        )
    },
    DECISIONS / '0007-readings.md': {
        'readings': lambda: accuracy_tables.side_by_side(READINGS),
    },
    ROOT / 'docs' / 'masks.md': {'masks speed': speed_tables.mask_tables},
    ROOT / 'docs' / 'accuracy.md': {'accuracy': accuracy_tables.tables},
    ROOT / 'docs' / 'warm-start.md': {'warm start': warm_start_tables},
    ROOT / 'docs' / 'export.md': {'export parity': export_table.parity_table},
    ROOT / 'docs' / 'install.md': {'mmcv build': mmcv_build_table},
}


def render(page: Path) -> str:
    """Return a page with its generated blocks made anew."""
    text = page.read_text()
    for name, table in PAGES[page].items():
        block = f'<!-- {name} -->\n{table()}\n<!-- end of {name} -->'
        old = re.search(f'<!-- {name} -->.*?<!-- end of {name} -->', text, re.S)
        if old is None:
            raise SystemExit(f'{page.relative_to(ROOT)} has no block "{name}".')
        text = text.replace(old.group(), block)
    return text
