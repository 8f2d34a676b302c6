"""Each preset in a training by the command that users type, and what it did there."""

import json
import math
import struct
from pathlib import Path

import pytest
import torch
from mmdet.models.layers import ExpMomentumEMA
from mmdet.registry import DATASETS, HOOKS
from mmdet.structures.bbox import get_box_tensor
from mmengine.hooks import Hook

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.presets import backends
from mmdet_qrpaq.presets.applying import apply_presets
from mmdet_qrpaq.runtime.checkpoints import read_checkpoint
from mmdet_qrpaq.runtime.configs import read_config
from tiny_runs import CLASSES, CONFIG, METHODS, logged_losses, run_tool, write_dataset

# Without validation; a checkpoint each iteration, with the raw weights of an EMA.
EVERY_ITERATION = (
    *('val_dataloader=None', 'val_evaluator=None', 'val_cfg=None'),
    *('default_hooks.checkpoint.save_best=None', 'train_cfg.max_epochs=2'),
    *('default_hooks.checkpoint.by_epoch=False', 'randomness.seed=0'),
)


@HOOKS.register_module()
class PresetProbe(Hook):
    """Sees the types of what a layer makes, and counts calls of a block."""

    def before_train(self, runner) -> None:
        self.seen, self.calls, self.steps = {}, 0, 0
        PresetProbe.last = self
        runner.model.neck.convs[0].conv.register_forward_hook(self.see)
        runner.model.backbone.layer3[0].conv1.register_forward_hook(self.count)

    def see(self, module, inputs, output) -> None:
        self.seen.setdefault(module.training, set()).add(output.dtype)
        self.weight = module.weight.dtype

    def count(self, *_) -> None:
        self.calls += 1

    def after_train_iter(self, *_, **__) -> None:
        self.steps += 1


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Path:
    """The tiny DINO without an EMA, data loading in this process, probed."""
    root = tmp_path_factory.mktemp('presets')
    base = root / 'base.py'
    data = str(write_dataset(root / 'data'))
    base.write_text(CONFIG.format(classes=CLASSES, root=data))
    path = root / 'tiny.py'
    path.write_text(
        f'_base_ = [{str(base)!r}]\n'
        "custom_hooks = [dict(type='PresetProbe')]\n"
        'train_dataloader = dict(num_workers=0)\n'
    )
    return path


def train(config: Path, work_dir: Path, *words: str, options=EVERY_ITERATION) -> dict:
    """Train with presets; returns the checkpoints by name."""
    preset = ['--preset', *words] if words else []
    run_tool(
        *('train', config, '--work-dir', work_dir, *preset),
        *('--cfg-options', *options),
    )
    return {p.stem: read_checkpoint(str(p)) for p in work_dir.glob('*.pth')}


def raw(checkpoint: dict, name: str) -> torch.Tensor:
    """A weight as it was trained: EMAHook exchanges the two in a checkpoint."""
    return checkpoint['ema_state_dict'][f'module.{name}'].double()


def learned(checkpoint: dict) -> list[str]:
    return [key for key, v in checkpoint['state_dict'].items() if v.is_floating_point()]


@pytest.fixture(scope='module')
def plain(config, tmp_path_factory) -> Path:
    """Two epochs of two iterations without a preset."""
    folder = tmp_path_factory.mktemp('plain') / 'run'
    train(config, folder)
    return folder


def test_ema(config, plain, tmp_path, monkeypatch):
    """The average by hand, from the raw weights; the best checkpoint holds it as well.

    Training itself is as without. A fast annealing, so that few iterations show it.
    """
    defaults = list(ExpMomentumEMA.__init__.__defaults__)
    assert defaults[:2] == [0.0002, 2000]
    defaults[1] = 2
    monkeypatch.setattr(ExpMomentumEMA.__init__, '__defaults__', tuple(defaults))
    options = ['default_hooks.checkpoint.by_epoch=False', 'randomness.seed=0']
    found = train(config, tmp_path, 'ema=0.3', options=options)
    assert logged_losses(tmp_path) == logged_losses(plain)
    steps = [found[f'iter_{i}'] for i in range(1, 5)]
    differ = 0
    for name in learned(steps[0]):
        mean = raw(steps[0], name)
        for step, checkpoint in enumerate(steps[1:], 1):
            share = 0.7 * math.exp(-(1 + step) / 2) + 0.3
            mean += share * (raw(checkpoint, name) - mean)
            saved = checkpoint['state_dict'][name].double()
            assert torch.allclose(saved, mean, rtol=1e-5, atol=1e-7), name
        differ += not torch.allclose(saved, raw(steps[-1], name), rtol=1e-5, atol=1e-7)
    assert differ > 50
    (best,) = (found[stem] for stem in found if stem.startswith('best'))
    same = steps[best['meta']['iter'] - 1]['state_dict']
    assert all(torch.equal(best['state_dict'][name], same[name]) for name in same)


def test_checkpoint_averaging(config, tmp_path):
    """The mean of the second epoch's two iterations; until then the raw weights."""
    found = train(config, tmp_path, 'checkpoint_averaging=0.5')
    moved = 0
    for name in learned(found['iter_4']):
        first, second = (raw(found[f'iter_{i}'], name) for i in (3, 4))
        saved = found['iter_4']['state_dict'][name].double()
        assert torch.allclose(saved, (first + second) / 2, rtol=1e-5, atol=1e-7), name
        moved += not torch.equal(first, second)
        before = found['iter_2']
        assert torch.equal(before['state_dict'][name].double(), raw(before, name))
    assert moved > 50


def test_early_stopping(config, tmp_path):
    """The AP of a model that has learned nothing is 0: best, then twice no gain."""
    options = ['train_cfg.max_epochs=6', 'train_dataloader.batch_size=4']
    train(config, tmp_path, 'early_stopping=2', options=options)
    assert sorted(logged_losses(tmp_path)) == [1, 2, 3]
    assert list(tmp_path.glob('best_*.pth'))


def test_gradient_accumulation(config, tmp_path):
    """Three mini-batches an update, of four: their mean gradient, then the last alone.

    With a learning rate of 0 all gradients are those of the first weights, and the
    momentum of SGD tells them: b_t = 0.5 b_(t-1) + g_t.
    """
    optimizer = "dict(type='SGD', lr=0.0, momentum=0.5, weight_decay=0.0)"
    sgd = tmp_path / 'sgd.py'
    sgd.write_text(
        f'_base_ = [{str(config)!r}]\n'
        f'optim_wrapper = dict(optimizer=dict(_delete_=True, **{optimizer}),\n'
        '    clip_grad=None)\n'
    )
    each = train(sgd, tmp_path / 'each')
    several = train(sgd, tmp_path / 'several', 'gradient_accumulation=3')
    assert logged_losses(tmp_path / 'each') == logged_losses(tmp_path / 'several')

    def momentum(found: dict, step: int) -> dict:
        state = found[f'iter_{step}']['optimizer']['state']
        return {key: value['momentum_buffer'].double() for key, value in state.items()}

    buffers = [momentum(each, step) for step in (1, 2, 3, 4)]
    assert not momentum(several, 1) and not momentum(several, 2)
    third, fourth = momentum(several, 3), momentum(several, 4)
    assert third.keys() == buffers[0].keys()
    for key in third:
        b = [buffer[key] for buffer in buffers]
        gradients = [b[0], *(b[i] - b[i - 1] / 2 for i in (1, 2, 3))]
        mean = sum(gradients[:3]) / 3
        near = dict(rtol=1e-4, atol=1e-5 * mean.abs().max().item())
        assert torch.allclose(third[key], mean, **near)
        assert torch.allclose(fourth[key], mean / 2 + gradients[3], **near)


def test_bf16(config, tmp_path):
    """Layers compute in bfloat16 in training alone; weights stay as they were."""
    options = ['train_cfg.max_epochs=1', 'train_dataloader.batch_size=4']
    train(config, tmp_path, 'bf16', options=options)
    seen = PresetProbe.last.seen
    assert seen == {True: {torch.bfloat16}, False: {torch.float32}}
    assert PresetProbe.last.weight == torch.float32
    assert all(map(math.isfinite, logged_losses(tmp_path).values()))


def test_amp(config, tmp_path, monkeypatch):
    """mmengine's wrapper, told that there is a GPU; its scale is 1 without one."""
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cuda')
    wrapper = 'mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available'
    monkeypatch.setattr(wrapper, lambda: True)
    options = [*EVERY_ITERATION, 'train_cfg.max_epochs=1', 'train_dataloader.batch_size'
               '=4']  # fmt: skip
    found = train(config, tmp_path, 'amp', options=options)
    assert PresetProbe.last.seen == {True: {torch.bfloat16}}  # float16 is for GPUs
    assert 'loss_scaler' in found['iter_1']['optimizer']


@pytest.mark.parametrize(
    'with_methods', [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_activation_checkpointing(config, plain, tmp_path, with_methods):
    """Blocks run twice, to the same losses; in our detectors every layer does."""
    whole = plain
    if with_methods:
        path = tmp_path / 'methods.py'
        path.write_text(METHODS.format(base=str(config)))
        config, whole = path, tmp_path / 'whole'
        train(config, whole)
    calls = PresetProbe.last.calls if with_methods else 4
    train(config, tmp_path / 'run', 'activation_checkpointing')
    assert PresetProbe.last.calls == 2 * calls
    found = logged_losses(tmp_path / 'run')
    assert found == pytest.approx(logged_losses(whole), rel=1e-5)


def test_tensorboard(config, tmp_path):
    """It holds the numbers of the log."""
    pytest.importorskip('tensorboard')
    options = ['train_cfg.max_epochs=1']
    train(config, tmp_path, 'tensorboard', options=[*EVERY_ITERATION, *options])
    same_as_log_in_tensorboard(tmp_path)


@pytest.mark.slow
def test_all_loggers(config, tmp_path, monkeypatch):
    """At once, as a line of the config: each holds the numbers of the log."""
    for name in ('tensorboard', 'mlflow', 'sqlalchemy', 'alembic', 'wandb'):
        pytest.importorskip(name)
    monkeypatch.setattr(backends, 'SERVER', None)
    monkeypatch.setenv('MLFLOW_TRACKING_URI', '')  # MLflow writes into it
    monkeypatch.setenv('WANDB_SILENT', 'true')
    monkeypatch.setenv('WANDB_DATA_DIR', str(tmp_path / 'cache'))
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    logging = tmp_path / 'logging.py'
    logging.write_text(
        f'_base_ = [{str(config)!r}]\n'
        "presets = ['tensorboard', 'mlflow', 'wandb_offline']\n"
    )
    run = tmp_path / 'run'
    for _ in range(2):  # the second time into the same folder
        train(logging, run, options=['train_cfg.max_epochs=1'])
    assert not list(Path.cwd().iterdir())  # no ./mlruns, no ./wandb
    same_as_log_in_tensorboard(run)
    losses = logged_losses(run)

    import mlflow

    client = mlflow.MlflowClient(f'sqlite:///{run / "mlflow.db"}')
    (experiment,) = client.search_experiments(filter_string="name = 'run'")
    entry, before = client.search_runs([experiment.experiment_id])
    assert entry.info.status == before.info.status == 'FINISHED'
    assert entry.info.run_name == 'run'
    history = client.get_metric_history(entry.info.run_id, 'loss')
    assert {metric.step: metric.value for metric in history} == pytest.approx(losses)
    assert entry.data.metrics['coco/bbox_mAP'] == 0
    assert entry.data.params['optim_wrapper.optimizer.lr'] == '0.0002'
    written = [p.name for p in (run / 'mlflow_artifacts').rglob('*') if p.is_file()]
    assert written == ['config.py'] * 2

    log = max(run.glob('*/vis_data/wandb/offline-run-*/*.wandb'))
    rows = [row for row in wandb_rows(log) if 'loss' in row]
    assert [row['loss'] for row in rows] == pytest.approx([losses[1], losses[2]])
    assert not [p for p in (tmp_path / 'cache').rglob('*') if p.is_file()]  # no code


def same_as_log_in_tensorboard(run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = max(run.glob('*/vis_data/events.out.tfevents.*'))
    scalars = EventAccumulator(str(events)).Reload().Scalars('loss')
    losses = logged_losses(run)
    assert sorted(losses) == [1, 2]
    assert {s.step: s.value for s in scalars} == pytest.approx(losses)


def wandb_rows(path: Path) -> list[dict]:
    """What a run has logged: records in blocks of 32 KiB, each with a head of 7."""
    from wandb.proto import wandb_internal_pb2

    content, place, record, rows = path.read_bytes(), 7, b'', []
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:  # filled up
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack('<IHB', content[place : place + 7])
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or its last part
            message = wandb_internal_pb2.Record()
            message.ParseFromString(record)
            record = b''
            items = message.history.item
            rows.append({'/'.join(i.nested_key): json.loads(i.value_json)
                         for i in items})  # fmt: skip
    return rows


def test_small_data(config, tmp_path):
    """The run is as long as it says, on images that are cropped and on a canvas."""
    options = [o for o in EVERY_ITERATION if 'max_epochs' not in o]
    options += ['train_dataloader.batch_size=4']
    train(config, tmp_path, 'small_data=3', options=options)
    assert sorted(logged_losses(tmp_path)) == [1, 2, 3]


def test_small_data_keeps_boxes_in_the_image(config):
    cfg = read_config(str(config))
    apply_presets(cfg, ['small_data'])
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    sides, counts = set(), set()
    for place in [*range(len(dataset))] * 10:
        sample = dataset[place]
        height, width = sample['inputs'].shape[1:]
        boxes = get_box_tensor(sample['data_samples'].gt_instances.bboxes)
        assert (
            boxes.min() >= 0 and (boxes[:, 2:] <= torch.tensor([width, height])).all()
        )
        assert ((boxes[:, 2:] - boxes[:, :2]) >= 5).all()  # of 20: its centre is there
        sides |= {height, width}
        counts.add(len(boxes))
    assert min(sides) < 60 and 64 in sides and max(sides) > 70 and counts == {1, 2}


def test_several_presets_resume_exactly(config, plain, tmp_path):
    """From between two epochs, where an update of two mini-batches ends."""
    words = ['ema', 'gradient_accumulation=2', 'early_stopping', 'tensorboard']
    options = ['randomness.seed=0']
    whole = train(config, tmp_path / 'whole', *words, options=options)
    run_tool(
        *('train', config, '--work-dir', tmp_path / 'again', '--preset', *words),
        *('--resume', tmp_path / 'whole' / 'epoch_1.pth', '--cfg-options', *options),
    )
    losses = logged_losses(tmp_path / 'whole')
    assert logged_losses(tmp_path / 'again') == {3: losses[3], 4: losses[4]}
    # The second mini-batch meets the weights of the first.
    first = logged_losses(plain)
    assert losses[1] == first[1] and losses[2] != first[2]
    again = read_checkpoint(str(tmp_path / 'again' / 'epoch_2.pth'))
    for part in ('state_dict', 'ema_state_dict'):
        expected = whole['epoch_2'][part]
        assert all(torch.equal(again[part][key], expected[key]) for key in expected)
    with pytest.raises(ConfigError, match='holds averaged weights and cannot be res'):
        run_tool(
            *('train', config, '--work-dir', tmp_path / 'again'),
            *('--resume', tmp_path / 'whole' / 'epoch_1.pth'),
        )
