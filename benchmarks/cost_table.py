"""Make the tables of parameters and FLOPs from benchmarks/results/cost_rows.json.

Called by `tables.py`: `rows_table` for docs/cost.md, `pair_table` for the README.
"""

import json

from benchmarks.recording import RESULTS, commit
from mmdet_qrpaq.records.tables import markdown

ROWS = RESULTS / 'cost_rows.json'
HOST, OURS = 'dino_r50_12e', 'paq_dino_r50_12e'
# PaQ-DETR Table 7: parameters in millions, 'FLOPs (G)', which are multiply-accumulates
# by their size. QR-DETR: parameters of Table 2, which are DAB-DETR's, and MACs of Table
# 3, which names no host.
PAPER = {
    'dab_detr_r50_12e': (45, 306.2),
    'qr_dab_detr_r50_12e': (46, 403.4),
    'qr_dab_detr_r50_12e_literal': (46, 403.4),
    'deformable_detr_pp_r50_12e': (40.5, 188.0),
    'dn_deformable_detr_r50_12e': (41.2, 192.0),
    HOST: (42.0, 196.0),
    OURS: (43.8, 205.0),
}


def load() -> dict:
    """Return what `cost.py` wrote."""
    return json.loads(ROWS.read_text())


def numbers_of(counted: dict) -> tuple[float, float]:
    """Return millions of parameters that a prediction needs, and GMACs."""
    needed = counted['params'] - counted['training_params']
    return needed / 1e6, counted['flops'] / 2e9


def difference(ours: float, base: float, digits: int) -> str:
    """Return a cell such as `+1.69 (+3.5 %)`."""
    return f'{ours - base:+.{digits}f} ({100 * (ours / base - 1):+.1f} %)'


def pair_table() -> str:
    """Return PaQ-DINO beside its host, as counted and as in the paper."""
    measured = load()['measured']
    counted = {name: numbers_of(measured[name]['counted']) for name in (HOST, OURS)}
    rows = []
    for index, name in enumerate(('parameters, M', 'GMACs (the paper: "FLOPs (G)")')):
        cells = [name]
        for source in (PAPER, counted):
            host, ours = source[HOST][index], source[OURS][index]
            cells += [f'{host:.1f}', f'{ours:.1f}', difference(ours, host, 2)]
        rows.append(cells)
    head = ['', 'host, paper', 'PaQ, paper', 'difference, paper']
    head += ['host, counted', 'PaQ, counted', 'difference, counted']
    return markdown(head, rows, words=(0,))


def rows_table() -> str:
    """Return every config, its difference to its host, and what the papers list."""
    result = load()
    measured = result['measured']
    head = ['config', 'M params', 'GMACs', 'M params to host', 'GMACs to host']
    head += ['M params, paper', 'GMACs, paper']
    rows = []
    for name, row in sorted(measured.items(), key=order):
        params, gmacs = numbers_of(row['counted'])
        cells = [f'[{name}](../{row["config"]})', f'{params:.2f}', f'{gmacs:.1f}']
        if row['host'] is None:
            cells += ['', '']
        else:
            base = numbers_of(measured[row['host']]['counted'])
            cells += [difference(params, base[0], 3), difference(gmacs, base[1], 1)]
        cells += [f'{value:g}' for value in PAPER.get(name, ())] or ['-', '-']
        rows.append(cells)
    height, width = result['settings']['shape']
    environment = result['environment']
    versions = ', '.join(f'{k} {v}' for k, v in environment['versions'].items())
    table = markdown(head, rows, words=(0,))
    return (
        f'{table}\n\nOne image of {height} x {width} pixels; {versions}; '
        f'{environment["date"]}, commit {commit(environment)}.'
    )


def order(item: tuple[str, dict]) -> tuple[bool, str, bool, str]:
    """Return a key by which a host comes before its methods, ablations last."""
    name, row = item
    ablation = 'ablations' in row['config']
    return ablation, row['host'] or name, row['host'] is not None, name
