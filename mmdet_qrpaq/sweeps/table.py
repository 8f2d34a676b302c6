"""The table of a sweep: mean and spread over seeds, and the difference to the first."""

import statistics
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from scipy import stats

from ..records.tables import markdown

CONFIDENCE = 0.95
SITES = ('layer', 'self_attn', 'cross_attn')
# Columns that a brief table does without, like those on routing.
DETAILS = ('AP75', 'the same with NMS', 'seconds a step', 'peak memory, GB')
# Routing numbers, by the suffix in the log.
ROUTING = (
    ('share entering, F / SA / CA', ''),
    ('its spread over images', '_std'),
    ('decisions that differ', '_differ'),
)


def mean_and_spread(values: Sequence[float], digits: int = 3, sign: str = '') -> str:
    """Return mean and sample standard deviation; '-' is a spread of one value."""
    mean = f'{statistics.fmean(values):{sign}.{digits}f}'
    if len(values) < 2:
        return f'{mean} ± -'
    return f'{mean} ± {statistics.stdev(values):.{digits}f}'


def comparison(
    results: dict[str, dict[int, dict]],
    variants: Sequence[str] | None = None,
    more: dict[str, dict[str, str]] | None = None,
    brief: bool = False,
) -> str:
    """Return a Markdown table with one row a variant.

    Columns that no record has a number for are left out.

    Args:
        results: See `read_records`.
        variants: The rows, of which the first is what the others are compared with;
            those of the results without.
        more: Cells by variant, by the heading of one more column.
        brief: Accuracy and query use alone.
    """
    variants = list(results) if variants is None else variants
    first = results.get(variants[0], {}) if variants else {}
    columns: dict[str, Callable[[dict[int, dict]], str]] = {
        'seeds': lambda by_seed: ', '.join(map(str, by_seed)),
        'AP': lambda by_seed: spread_of(by_seed, 'AP'),
        'AP50': lambda by_seed: spread_of(by_seed, 'AP50'),
        'AP75': lambda by_seed: spread_of(by_seed, 'AP75'),
        'AP with NMS': lambda by_seed: spread_of(by_seed, 'AP_with_nms'),
        f'AP minus {variants[0] if variants else ""}, same seed [95 %]': (
            lambda by_seed: difference(by_seed, first)
        ),
        'the same with NMS': lambda by_seed: difference(by_seed, first, 'AP_with_nms'),
        'Gini of query use': lambda by_seed: spread_of(by_seed, 'gini', 2),
        'seconds a step': lambda by_seed: spread_of(by_seed, 'step_seconds', 2),
        'peak memory, GB': _peak_memory,
    }
    if brief:
        for heading in DETAILS:
            del columns[heading]
    for heading, suffix in () if brief else ROUTING:
        columns[heading] = lambda by_seed, suffix=suffix: routing_share(by_seed, suffix)
    rows = {
        variant: {name: cell(results[variant]) for name, cell in columns.items()}
        for variant in variants
        if variant in results
    }
    used = [
        name
        for name in columns
        if any(set(row[name]) - set('-/ ') for row in rows.values())
    ]
    more = more or {}
    lines = []
    for variant in variants:
        row = rows.get(variant) or dict.fromkeys(used, '-') | {'seeds': 'not run'}
        cells = [row[name] for name in used]
        cells += [cells_of.get(variant, '-') for cells_of in more.values()]
        lines.append([variant, *cells])
    return markdown(['', *used, *more], lines)


def _measured(by_seed: dict[int, dict], key: str) -> list[Any]:
    found = (record['measured'].get(key) for record in by_seed.values())
    return [value for value in found if value is not None]


def spread_of(by_seed: dict[int, dict], key: str, digits: int = 3) -> str:
    """Return mean and spread of a measured number over the seeds that have it."""
    values = _measured(by_seed, key)
    return mean_and_spread(values, digits) if values else '-'


def difference(
    by_seed: dict[int, dict], first: dict[int, dict], key: str = 'AP'
) -> str:
    """Return mean, spread and interval of what two differ by, seed by seed."""
    if by_seed is first:
        return '-'
    pairs = [
        record['measured'][key] - first[seed]['measured'][key]
        for seed, record in by_seed.items()
        if seed in first and key in record['measured']
    ]
    return mean_and_interval(pairs) if pairs else '-'


def mean_and_interval(pairs: Sequence[float]) -> str:
    """Return mean, spread and interval of differences, a pair each."""
    text = mean_and_spread(pairs, sign='+')
    if len(pairs) < 2:
        return text
    with warnings.catch_warnings():  # of differences that are all alike
        warnings.simplefilter('ignore', RuntimeWarning)
        low, high = stats.ttest_1samp(pairs, 0).confidence_interval(CONFIDENCE)
    return f'{text} [{low:+.3f}, {high:+.3f}]'


def _peak_memory(by_seed: dict[int, dict]) -> str:
    """Return the GPU's where there is one, else the process's."""
    found = (
        peak['cuda'] or peak['resident']
        for peak in _measured(by_seed, 'peak_memory_mb')
    )
    values = [value / 1024 for value in found if value]
    return mean_and_spread(values, 1) if values else '-'


def routing_share(by_seed: dict[int, dict], suffix: str = '') -> str:
    """Return values of F / SA / CA, means over seeds; counts as shares of queries."""
    cells = []
    for site in SITES:
        found = []
        for record in by_seed.values():
            measured = record['measured']
            values = [
                value
                for key, value in measured['routing'].items()
                if key.endswith(f'.{site}{suffix}')
            ]
            if values:
                scale = 1 if suffix == '_differ' else measured['num_queries']
                found.append(statistics.fmean(values) / scale)
        cells.append(f'{statistics.fmean(found):.2f}' if found else '-')
    return ' / '.join(cells)
