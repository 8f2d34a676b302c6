"""One tiny training run for all tests of the tools; sweeps with stand-ins for it."""

from pathlib import Path

import pytest

from mmdet_qrpaq.sweeps import executors, job
from tiny_runs import CLASSES, CONFIG, run_tool, write_dataset

# Stands in for tools/train.py: two validations, a checkpoint, and what mmengine logs.
TRAIN = """
import json, pathlib, signal, sys, time
config, folder = sys.argv[1], pathlib.Path(sys.argv[3])
with (folder / 'starts').open('a') as starts:
    starts.write('train ')
settings = {}
exec(pathlib.Path(config).read_text(), settings)
queries = settings['model']['num_queries']
if queries == 13:
    sys.exit('error: unlucky')
if queries == 99 and not (folder / 'again').exists():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(time.sleep(1)))
    (folder / 'again').touch()
    time.sleep(60)
print('Epoch(train)  [1][ 1/2]')
log = folder / '20300101_000000' / 'vis_data'
log.mkdir(parents=True, exist_ok=True)
ap = {'coco/bbox_mAP' + end: queries / 100 for end in ('', '_50', '_75', '_s', '_m')}
ap['coco/bbox_mAP_l'] = -1.0
entries = []
for epoch in (1, 2):
    loss = float('nan') if queries == 66 else 3.0 - epoch
    train = dict(epoch=epoch, iter=2 * epoch, loss=loss, time=epoch, memory=512)
    entries += [train, dict(ap, step=epoch, **{'routing/d0.layer': 4.0})]
if queries == 77:
    entries.pop()
(log / 'scalars.json').write_text(chr(10).join(map(json.dumps, entries)))
for name in ('epoch_1.pth', 'epoch_2.pth'):
    (folder / name).write_text('')
(folder / 'last_checkpoint').write_text('elsewhere/epoch_2.pth')
"""
# tools/test.py: the metrics of the trained model.
TEST = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[4]) / '20300101_000001'
folder.mkdir(parents=True)
ap = {'coco/bbox_mAP' + end: 0.5 for end in ('', '_50', '_75', '_s', '_m', '_l')}
(folder / 'x.json').write_text(json.dumps(ap))
"""
MEASURE = """
import json, pathlib, sys
assert pathlib.Path(sys.argv[2]).exists(), sys.argv[2]
found = dict(num_queries=8, gini=0.25, gini_confident=None, iteration=4)
pathlib.Path(sys.argv[3]).write_text(json.dumps(dict(found, AP_with_nms=0.1)))
"""


@pytest.fixture(scope='session')
def dataset_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp('shapes') / 'data')


@pytest.fixture(scope='session')
def tiny_config(dataset_root: Path) -> Path:
    path = dataset_root.parent / 'tiny_dino.py'
    path.write_text(CONFIG.format(classes=CLASSES, root=str(dataset_root)))
    return path


@pytest.fixture(scope='session')
def tiny_run(tiny_config: Path) -> Path:
    """Work directory of an uninterrupted run: two epochs of two iterations."""
    work_dir = tiny_config.parent / 'uninterrupted'
    run_tool('train', tiny_config, '--work-dir', work_dir)
    return work_dir


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run `tools/sweep.py` with other tools behind it; returns what it printed."""
    tools = tmp_path / 'tools'
    tools.mkdir()
    for name, text in (('train', TRAIN), ('test', TEST), ('measure_it', MEASURE)):
        (tools / f'{name}.py').write_text(text)
    monkeypatch.setattr(job, 'TOOLS', tools)
    monkeypatch.setattr(job, 'MEASURE', 'measure_it')
    monkeypatch.setenv('PYTHONPATH', str(tools))
    monkeypatch.setattr(job, 'POLL_S', 0.01)
    monkeypatch.setattr(executors.LocalExecutor, 'poll_s', 0.01)
    write_dataset(tmp_path / 'data')
    config = tmp_path / 'tiny.py'
    config.write_text(CONFIG.format(classes=('a',), root=str(tmp_path / 'data')))

    def run(*options: str, queries: tuple = (8, 9)) -> None:
        grid = ['--grid', 'model.num_queries', *map(str, queries)]
        run_tool('sweep', config, *grid, '--work-dir', tmp_path / 'out', *options)

    run.out = tmp_path / 'out'
    return run
