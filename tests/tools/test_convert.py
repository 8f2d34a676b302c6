"""tools/model/convert.py: one trained DINO, tested and trained on as another model."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.runtime.checkpoints import read_checkpoint
from tiny_runs import CLASSES, METHODS, load_tool, logged_losses, run_tool

ROUTED = """\
_base_ = [{base!r}]
model = dict(type='QRPaQDINO', query_routing=dict(schedule=('layer', 'self_attn')))
"""
# Other data: one class of the two, and a new one.
OTHER = """\
_base_ = [{base!r}]
metainfo = dict(classes=('ring', 'square', 'star'))
model = dict(bbox_head=dict(num_classes=3))
train_dataloader = dict(dataset=dict(metainfo=metainfo))
"""


def convert(*arguments: object) -> None:
    load_tool('model/convert').main([str(argument) for argument in arguments])


def config_of(tiny_config: Path, name: str, text: str) -> Path:
    path = tiny_config.parent / f'{name}.py'
    path.write_text(text.format(base=str(tiny_config)))
    return path


@pytest.fixture(scope='module')
def routed(tiny_config: Path, tiny_run: Path) -> tuple[Path, Path]:
    """Config and converted checkpoint of a QR-DINO."""
    config = config_of(tiny_config, 'warm_routed', ROUTED)
    out = tiny_config.parent / 'warm' / 'routed.pth'
    convert(config, tiny_run / 'epoch_2.pth', '--out', out)
    return config, out


def measure(config: Path, checkpoint: Path, folder: Path) -> tuple[dict, list]:
    """Metrics and predictions of tools/test.py."""
    out = folder / 'predictions.pkl'
    run_tool('test', config, checkpoint, '--work-dir', folder, '--out', out)
    metrics = json.loads(next(folder.glob('*/2*.json')).read_text())
    return metrics, [s['pred_instances'] for s in pickle.loads(out.read_bytes())]


def test_a_routed_dino_tests_as_its_host(tiny_config, tiny_run, routed, tmp_path):
    host = measure(tiny_config, tiny_run / 'epoch_2.pth', tmp_path / 'host')
    ours = measure(*routed, tmp_path / 'routed')
    measured = {key: x for key, x in host[0].items() if 'bbox' in key}
    assert measured and measured == {key: ours[0][key] for key in measured}
    for mine, theirs in zip(ours[1], host[1], strict=True):
        for key in ('scores', 'bboxes', 'labels'):
            np.testing.assert_allclose(mine[key], theirs[key], atol=1e-4)


def test_what_is_written(routed):
    checkpoint = read_checkpoint(str(routed[1]))
    assert set(checkpoint) == {'meta', 'state_dict'}
    assert tuple(checkpoint['meta']['dataset_meta']['classes']) == CLASSES
    assert 'QRPaQDINO' in checkpoint['meta']['cfg']
    assert [path.name for path in routed[1].parent.iterdir()] == ['routed.pth']


def test_training_goes_on_with_frozen_parts(routed, tmp_path, capsys):
    config, start = routed
    arguments = [config, '--work-dir', tmp_path, '--freeze', 'backbone,encoder']
    settings = [f'load_from={start}', 'train_cfg.max_epochs=1']
    run_tool('train', *arguments, '--cfg-options', *settings)
    assert 'all' in capsys.readouterr().out.partition('parameters match')[0]
    assert len(logged_losses(tmp_path)) == 2
    before, after = (
        read_checkpoint(str(path))['state_dict']
        for path in (start, tmp_path / 'epoch_1.pth')
    )
    changed = {
        key.partition('.')[0] for key in before if (before[key] != after[key]).any()
    }
    assert {'neck', 'decoder', 'bbox_head'} <= changed
    assert not {'backbone', 'encoder'} & changed


def test_patterns_and_routing_through_the_command(
    tiny_config, tiny_run, tmp_path, capsys
):
    config = config_of(tiny_config, 'warm_methods', METHODS)
    convert(config, tiny_run / 'epoch_2.pth', '--out', tmp_path / 'start.pth')
    classes, routing, content, written = capsys.readouterr().out.splitlines()[-4:]
    assert classes == 'classes: 2 kept, 0 cut, 0 new'
    assert routing.startswith('routing: all queries enter each of the 2 layers, exact')
    assert content.startswith('content: 20 queries made of patterns, relative error 0.')
    assert written.endswith(f'load_from={tmp_path}/start.pth')
    metrics, _ = measure(config, tmp_path / 'start.pth', tmp_path / 'test')
    assert any('bbox_mAP' in key for key in metrics)


def test_other_classes(tiny_config, tiny_run, tmp_path, capsys):
    config = config_of(tiny_config, 'warm_other', OTHER)
    source = tiny_run / 'epoch_2.pth'
    convert(config, source, '--out', tmp_path / 'a.pth')
    told = "classes: 1 kept, 1 cut, 2 new ('ring', 'star')"
    assert told in capsys.readouterr().out
    # The disc is called a ring here, and so its row is kept.
    convert(config, source, '--out', tmp_path / 'b.pth', '--classes', 'square', 'ring')
    assert "classes: 2 kept, 0 cut, 1 new ('star')" in capsys.readouterr().out
    old, a, b = (
        read_checkpoint(str(path))['state_dict']
        for path in (source, tmp_path / 'a.pth', tmp_path / 'b.pth')
    )
    for key in (
        *('bbox_head.cls_branches.0.weight', 'bbox_head.cls_branches.2.bias'),
        'dn_query_generator.label_embedding.weight',
    ):
        assert a[key].shape[0] == b[key].shape[0] == 3
        assert torch.equal(a[key][1], old[key][0])
        assert torch.equal(b[key][[1, 0]], old[key])
        assert torch.equal(a[key][2], b[key][2])
    assert tuple(
        read_checkpoint(str(tmp_path / 'a.pth'))['meta']['dataset_meta']['classes']
    ) == ('ring', 'square', 'star')


@pytest.mark.parametrize(
    ('source', 'out', 'options', 'words'),
    [
        ('epoch_2.pth', 'there.pth', [], 'exists already'),
        ('epoch_2.pth', 'new.pt', [], r'--out is .*, which does not end in \.pth'),
        ('none.pth', 'new.pth', [], 'does not exist'),
        ('epoch_2.pth', 'new.pth', ['--classes', 'a'], 'name all of its classes'),
        (
            'epoch_2.pth',
            'new.pth',
            ['--cfg-options', 'model.num_queries=7'],
            r'does not fit the host of .*query_embedding.*give a checkpoint of that ho',
        ),
    ],
)
def test_refusals_leave_everything_as_it_was(
    routed, tiny_run, tmp_path, source, out, options, words
):
    (tmp_path / 'there.pth').write_text('kept')
    with pytest.raises(ConfigError, match=words):
        convert(routed[0], tiny_run / source, '--out', tmp_path / out, *options)
    assert [path.name for path in tmp_path.iterdir()] == ['there.pth']
    assert (tmp_path / 'there.pth').read_text() == 'kept'


def test_parts_that_do_not_exist_are_told_before_a_training(routed, tmp_path):
    arguments = [routed[0], '--work-dir', tmp_path / 'run', '--freeze']
    with pytest.raises(ConfigError, match="names 'head': give a list of backbone"):
        run_tool('train', *arguments, 'backbone,head')
    assert not (tmp_path / 'run').exists()


def test_freezing_needs_a_model_of_ours(tiny_config, tmp_path):
    arguments = [tiny_config, '--work-dir', tmp_path / 'run', '--freeze', 'backbone']
    with pytest.raises(
        ConfigError, match=r"model\.frozen_parts is unknown.*'QRPaQDINO'"
    ):
        run_tool('train', *arguments)
