"""What is recorded of the demo."""

import importlib.util
import json

import pytest

from tiny_hosts import REPOSITORY


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / 'benchmarks'))
    # Under a name of its own: `tools/demo.py`, which it imports, is `demo`.
    path = REPOSITORY / 'benchmarks' / 'demo.py'
    spec = importlib.util.spec_from_file_location('demo_record', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, 'WORK_DIR', tmp_path)
    return module


def test_a_resumed_training_takes_the_time_of_each_iteration_once(record, tmp_path):
    # Stopped after 40 iterations, of which the last checkpoint knows 20.
    for start, entries in (
        ('20300101_000000', [(20, 2.0), (40, 1.0)]),
        ('20300101_010000', [(40, 3.0), (50, 0.5)]),
    ):
        log = tmp_path / start / 'vis_data' / 'scalars.json'
        log.parent.mkdir(parents=True)
        lines = [dict(iter=step, time=time, loss=1.0) for step, time in entries]
        lines.append({'coco/bbox_mAP': 0.1, 'step': 1})
        log.write_text('\n'.join(map(json.dumps, lines)))
    assert record.training_seconds() == 20 * 2 + 20 * 3 + 10 * 0.5
