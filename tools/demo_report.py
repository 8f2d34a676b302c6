"""What the demo tells at its end; used by `demo.py` beside it."""

import json
import shutil
import sys
import sysconfig
from pathlib import Path

# COCO's metrics by mmdet's names.
METRICS = {
    'bbox_mAP': 'AP',
    'bbox_mAP_50': 'AP50',
    'bbox_mAP_75': 'AP75',
    'bbox_mAP_s': 'AP small',
    'bbox_mAP_m': 'AP medium',
    'bbox_mAP_l': 'AP large',
}


def precision_table(metrics: dict[str, float]) -> dict[str, dict[str, float]]:
    """Return AP and AP by class from what a test wrote.

    COCO's value for 'there is no object of this size' is -1; such sizes are left out.
    """
    values = {key.removeprefix('coco/'): value for key, value in metrics.items()}
    return {
        'AP': {name: values[key] for key, name in METRICS.items() if values[key] >= 0},
        'AP by class': {
            key.removesuffix('_precision'): value
            for key, value in values.items()
            if key.endswith('_precision')
        },
    }


def as_markdown(table: dict[str, dict[str, float]]) -> str:
    """Return each group of the AP table as one Markdown table."""
    from mmdet_qrpaq.records.tables import markdown

    rows = {
        group: [(name, f'{value:.3f}') for name, value in values.items()]
        for group, values in table.items()
    }
    return '\n\n'.join(markdown((group, ''), cells) for group, cells in rows.items())


def commands(config: Path, checkpoint: Path) -> dict[str, str]:
    """Return what to type next, by what it does; all work from the project's folder."""
    scripts = Path(sysconfig.get_path('scripts'))
    yours = 'configs/paq_dino_r50_12e.py'
    python, mim = (_shown(path) for path in (Path(sys.executable), scripts / 'mim'))
    return {
        'All analyses of this model on one page': (
            f'{python} tools/analysis/report.py {config} {checkpoint}'
        ),
        'PaQ-DINO on your data (docs/your-data.md)': (
            f'{python} tools/train.py {yours} --data data/mine'
        ),
        "A row of the papers' tables, on COCO in data/coco/ (docs/configs.md)": (
            f'{mim} train mmdet_qrpaq configs/paq_dino_r50_12e.py'
        ),
    }


def _shown(program: Path) -> str:
    """Return what a shell in the project's folder finds this program by."""
    if shutil.which(program.name) == str(program):
        return program.name
    here = Path.cwd()
    return str(program.relative_to(here) if program.is_relative_to(here) else program)


def show(config: Path, work_dir: Path, data: Path, checkpoint: Path) -> None:
    """Print the AP table, what to look at and what to type next."""
    from mmdet_qrpaq.records.tables import Table, print_table

    table = json.loads((work_dir / 'ap_table.json').read_text())
    for group, values in table.items():
        digits = 3 if group == 'AP' else 2  # ten classes fit on 80 columns
        row = [f'{value:.{digits}f}' for value in values.values()]
        print_table(Table(f'{group} on {data}/val', list(values), [row], words=()))
    threshold, gini = (
        json.loads((work_dir / f'{name}.json').read_text())['numbers']
        for name in ('val_predictions', 'query_usage')
    )
    threshold, gini = threshold['score_threshold'], gini['models'][0]['gini']
    looks = {
        'val_predictions.png': 'Images it was not trained on: truth beside what it '
        f'found with a score of {threshold:g} or more.',
        'curves.png': 'How loss fell and AP rose.',
        'query_usage.png': 'How often each query finds an object: Gini '
        f'{gini:.2f}, where 0 is equally often and 1 one for all.',
        'ap_table.md': 'The tables above, to paste.',
    }
    print('\nLook at')
    for name, sentence in looks.items():
        print(f'  {work_dir / name}\n      {sentence}')
    print('\nType next')
    for what, command in commands(config, checkpoint).items():
        print(f'  {what}:\n      {command}')
