#!/usr/bin/env python
"""Parameters and FLOPs of a config beside its host: PaQ-DETR Table 7.

Counts on the CPU at the picture size of the paper; deformable attention is counted.
"""

import argparse

import recording

from mmdet_qrpaq.analysis.complexity import detector_complexity
from mmdet_qrpaq.runtime.configs import read_config

CONFIG = 'configs/paq_dino_r50_12e.py'
HOST = 'mmdet::dino/dino-4scale_r50_improved_8xb2-12e_coco.py'


def main() -> None:
    """Counts both models and writes benchmarks/results/cost_paq_dino_r50.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--shape', type=int, nargs=2, default=(800, 1333), metavar=('H', 'W')
    )
    shape = tuple(parser.parse_args().shape)
    counted = {
        name: detector_complexity(read_config(config), shape)
        for name, config in (('host', HOST), ('ours', CONFIG))
    }
    path = recording.write(
        'cost_paq_dino_r50',
        'cost',
        dict(config=CONFIG, host=HOST, shape=shape),
        {
            name: dict(params=model.total_params, gmacs=model.total_flops / 2e9)
            for name, model in counted.items()
        },
    )
    print(f'written: {path}')


if __name__ == '__main__':
    main()
