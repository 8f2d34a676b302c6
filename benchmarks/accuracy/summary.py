"""The table of a study: mean and spread over seeds, and the difference to the host.

Called by ``benchmarks/tables.py``.
"""

import json
import statistics
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / 'results' / 'accuracy'
SITES = ('layer', 'self_attn', 'cross_attn')


def load(study: str) -> dict[str, dict[int, dict]]:
    """Results of a study: variant, seed -> what was recorded."""
    runs = [json.loads(path.read_text()) for path in (RESULTS / study).glob('*.json')]
    results: dict[str, dict[int, dict]] = {}
    for run in sorted(runs, key=lambda run: run['settings']['seed']):
        settings = run['settings']
        results.setdefault(settings['variant'], {})[settings['seed']] = run
    return results


def spread(values: list[float], digits: int = 3, sign: str = '') -> str:
    """Mean and sample standard deviation; '-' stands for a spread of one value."""
    mean = f'{statistics.fmean(values):{sign}.{digits}f}'
    if len(values) < 2:
        return f'{mean} ± -'
    return f'{mean} ± {statistics.stdev(values):.{digits}f}'


def of_site(run: dict, site: str, suffix: str = '') -> float | None:
    """A routing number of the layers with a site, mean over them; None without any."""
    found = [
        value
        for key, value in run['measured']['routing'].items()
        if key.endswith(f'.{site}{suffix}')
    ]
    return statistics.fmean(found) if found else None


def routing_cell(runs: list[dict], suffix: str, scale: float) -> str:
    """Values of F / SA / CA, mean over the seeds."""
    cells = []
    for site in SITES:
        values = [of_site(run, site, suffix) for run in runs]
        found = [value / scale for value in values if value is not None]
        cells.append(f'{statistics.fmean(found):.2f}' if found else '-')
    return ' / '.join(cells)


def study_table(study: str, variants: list[str], num_queries: int) -> str:
    """One row a variant. The first variant is the host."""
    results = load(study)
    host = results.get(variants[0], {})
    head = ['', 'seeds', 'AP', 'AP50', 'AP minus host, same seed']
    head += ['share entering, F / SA / CA', 'its spread over pictures']
    head += ['decisions that differ']
    lines = [f'| {" | ".join(head)} |', '|---' * len(head) + '|']
    for variant in variants:
        by_seed = results.get(variant)
        if not by_seed:
            lines.append(f'| {variant} | not run |' + ' - |' * (len(head) - 2))
            continue
        runs = list(by_seed.values())
        pairs = [
            run['measured']['AP'] - host[seed]['measured']['AP']
            for seed, run in by_seed.items()
            if seed in host and variant != variants[0]
        ]
        cells = [
            variant,
            ', '.join(map(str, by_seed)),
            spread([run['measured']['AP'] for run in runs]),
            spread([run['measured']['AP50'] for run in runs]),
            spread(pairs, sign='+') if pairs else '-',
            routing_cell(runs, '', num_queries),
            routing_cell(runs, '_std', num_queries),
            routing_cell(runs, '_differ', 1),
        ]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)
