#!/usr/bin/env bash
# mmdet 3.3.0, AspectRatioBatchSampler with drop_last=True: how many batches an epoch has.
#
# Expected: as many as `len()` says.
# Seen: `len()` is the number of images divided by the batch size; what is left over in
# the two groups, wide and high, is dropped apart, so up to one batch less comes. Two wide
# and two high images with batches of 4: len 1, no batch. mmengine counts the epochs of
# its schedules by len(), so milestones set by epoch and converted to iterations come
# late. With drop_last=False, the default, the two agree.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q mmengine==0.10.7 mmcv-lite==2.1.0 mmdet==3.3.0 \
    'setuptools<81' torch==2.13.0 numpy==2.3.5 'opencv-python<5'
cd "$work"
"$python" -W ignore - <<'PY'
import sys
from unittest.mock import MagicMock

sys.modules['mmcv.ops'] = sys.modules['mmcv.ops.roi_align'] = MagicMock()  # not used here
from mmdet.datasets.samplers import AspectRatioBatchSampler
from torch.utils.data import SequentialSampler


class Images:
    def __init__(self, wide, high):
        self.widths = [20] * wide + [5] * high

    def __len__(self):
        return len(self.widths)

    def get_data_info(self, index):
        return {'width': self.widths[index], 'height': 10}


class Sampler(SequentialSampler):
    @property
    def dataset(self):
        return self.data_source


seen = {}
for wide, high in ((2, 2), (6, 6), (4, 4)):
    for drop in (True, False):
        batches = AspectRatioBatchSampler(
            Sampler(Images(wide, high)), batch_size=4, drop_last=drop)
        seen[wide, high, drop] = len(batches), len(list(batches))
        print(f'{wide} wide, {high} high, drop_last={drop}: len, batches:',
              seen[wide, high, drop])
assert seen[2, 2, True] == (1, 0) and seen[2, 2, False] == (1, 1)
assert seen[6, 6, True] == (3, 2) and seen[6, 6, False] == (3, 3)
assert seen[4, 4, True] == seen[4, 4, False] == (2, 2)
PY
