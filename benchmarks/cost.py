#!/usr/bin/env python
"""Parameters and FLOPs of every paper row: PaQ-DETR Table 7, for all configs.

Counts on the CPU at the image size of the papers; deformable attention is counted.
Configs whose models differ in training alone are counted once.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import track

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import recording
from mmdet_qrpaq.command_line import load_package, run
from mmdet_qrpaq.records.provenance import ROOT, describe_environment

if TYPE_CHECKING:
    from mmengine.config import Config

NAME = 'cost_rows'
CONFIGS = ROOT / 'configs'
METHODS = ('qrpaq_', 'paq_', 'qr_')
# Settings that change neither a parameter nor what is done with an image. By place,
# because parts of that name elsewhere may do something else.
TRAINING_ONLY = {
    'model': ('train_cfg', 'test_cfg', 'init_cfg', 'data_preprocessor'),
    'model.backbone': ('init_cfg', 'frozen_stages', 'with_cp', 'drop_path_rate'),
    'model.encoder': ('num_cp',),
    'model.bbox_head': (
        *('quality', 'sync_cls_avg_factor', 'loss_cls', 'loss_bbox', 'loss_iou'),
        *('train_cfg', 'test_cfg'),
    ),
    'model.dn_cfg': ('label_noise_scale', 'box_noise_scale', 'group_cfg'),
    'model.pattern_query': ('diversity_weight',),
}


def paper_leaves() -> dict[str, Path]:
    """Return name and path of every config of a paper row, no demonstrations."""
    return {
        path.stem: path
        for path in sorted(CONFIGS.rglob('*.py'))
        if '_base_' not in path.parts and 'digits' not in path.stem
    }


def host_of(name: str, leaves: Iterable[str]) -> str | None:
    """Return the leaf without the method that `name` is compared with, if any.

    Leaves are called `METHOD_HOST_BACKBONE_SCHEDULE`, and ablations have words after
    that, so it is the longest leaf that begins like this one without its method.
    """
    bare = next((name.removeprefix(m) for m in METHODS if name.startswith(m)), None)
    if bare is None:
        return None
    hosts = [leaf for leaf in leaves if f'{bare}_'.startswith(f'{leaf}_')]
    return max(hosts, key=len, default=None)


def inference_key(config: 'Config') -> str:
    """Return a key that is equal for configs whose models differ only in training."""
    model = config.model.to_dict()
    for place, names in TRAINING_ONLY.items():
        part = {'model': model}
        for step in place.split('.'):
            part = part.get(step) or {}
        for name in names:
            part.pop(name, None)
    return hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest()


def count(leaves: dict[str, Path], shape: tuple[int, int]) -> dict[str, dict]:
    """Count every leaf, with its host's name; models that are alike, once."""
    from mmdet_qrpaq.analysis.cost.complexity import detector_complexity
    from mmdet_qrpaq.runtime.configs import read_config

    configs = {name: read_config(str(path)) for name, path in leaves.items()}
    keys = {name: inference_key(config) for name, config in configs.items()}
    counted = {}
    for name, config in track(configs.items(), 'counting'):
        if keys[name] not in counted:
            counted[keys[name]] = detector_complexity(config, shape).as_dict()
    return {
        name: dict(
            config=str(path.relative_to(ROOT)),
            host=host_of(name, leaves),
            key=keys[name],
            counted=counted[keys[name]],
        )
        for name, path in leaves.items()
    }


def main() -> None:
    """Count and write benchmarks/results/cost_rows.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--shape', type=int, nargs=2, default=[800, 1333], metavar=('H', 'W')
    )
    args = parser.parse_args()

    load_package()
    from mmengine.logging import MMLogger

    MMLogger.get_current_instance().setLevel('WARNING')
    path = recording.out_path(parser, None, NAME)
    environment = describe_environment('cpu')
    rows = count(paper_leaves(), tuple(args.shape))
    recording.write(path, 'cost', environment, dict(shape=args.shape), rows)
    print(f'written: {path}')


if __name__ == '__main__':
    run(main)
