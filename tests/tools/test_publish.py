"""tools/model/publish.py: what is stripped, and that the rest tests as before."""

import json
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.runtime.checkpoints import read_checkpoint
from mmdet_qrpaq.runtime.fit import require_same_model
from mmdet_qrpaq.runtime.publishing import strip
from tiny_hosts import METHODS, build, build_host, host_config, make_batch
from tiny_runs import load_tool, run_tool


@pytest.fixture(scope='module')
def routed_run(tiny_config: Path) -> tuple[Path, Path]:
    """Config and checkpoint of a run with exit heads and averaged weights."""
    config = tiny_config.parent / 'exit_heads.py'
    config.write_text(
        f'_base_ = [{str(tiny_config)!r}]\n'
        "model = dict(type='QRPaQDINO', query_routing=dict(\n"
        "    schedule=('layer', 'cross_attn'), gradient='exit_head'))\n"
        'train_cfg = dict(max_epochs=1)\n'
        'default_hooks = dict(checkpoint=dict(save_best=None))\n'
    )
    work_dir = tiny_config.parent / 'exit_heads'
    run_tool('train', config, '--work-dir', work_dir)
    return config, work_dir / 'epoch_1.pth'


@pytest.fixture(scope='module')
def published(routed_run: tuple[Path, Path]) -> Path:
    out = routed_run[1].parent / 'new' / 'published.pth'
    load_tool('model/publish').main([str(routed_run[1]), str(out)])
    return out


def test_what_is_left(routed_run, published):
    before, after = read_checkpoint(str(routed_run[1])), read_checkpoint(str(published))
    assert set(after) == {'meta', 'state_dict'}
    assert after['meta']['dataset_meta'] == before['meta']['dataset_meta']
    assert after['meta']['cfg'] == before['meta']['cfg']
    gone = before['state_dict'].keys() - after['state_dict'].keys()
    # Two layers of DINO's head: one linear layer to classify, three for the box.
    assert len(gone) == 2 * (2 + 6)
    assert all(key.startswith('exit_heads.') for key in gone)
    averaged, raw = before['state_dict'], before['ema_state_dict']
    for key, value in after['state_dict'].items():
        assert torch.equal(value, averaged[key]), key
    moved = 'bbox_head.cls_branches.0.weight'
    assert not torch.equal(after['state_dict'][moved], raw[f'module.{moved}'])
    # Layers find their version there and convert what older ones wrote.
    assert after['state_dict']._metadata == before['state_dict']._metadata
    # Optimizer, averaged and raw weights made it four times as large.
    assert published.stat().st_size * 3 < routed_run[1].stat().st_size
    assert [path.name for path in published.parent.iterdir()] == ['published.pth']


def test_predictions_are_identical(routed_run, published, tmp_path, capsys):
    config, checkpoint = routed_run
    predictions = []
    for path in (checkpoint, published):
        out = tmp_path / f'{path.stem}.pkl'
        work_dir = tmp_path / path.stem
        run_tool('test', config, path, '--work-dir', work_dir, '--out', out)
        predictions.append(
            [s['pred_instances'] for s in pickle.loads(out.read_bytes())]
        )
    printed = capsys.readouterr()
    assert 'missing keys' not in printed.out
    assert len(predictions[0]) == 3
    for first, second in zip(*predictions, strict=True):
        for key in ('scores', 'bboxes', 'labels'):
            assert len(first[key]) == 20
            np.testing.assert_array_equal(first[key], second[key])


def test_resuming_is_refused(routed_run, published, tmp_path):
    arguments = ['--work-dir', tmp_path, '--resume', published]
    with pytest.raises(ConfigError, match='cannot be resumed, it holds no optimizer'):
        run_tool('train', routed_run[0], *arguments)


def exit_head_checkpoint() -> tuple[torch.nn.Module, dict]:
    detector = build_host('dino', 'qr_exit')
    weights = detector.state_dict()
    for key in [key for key in weights if key.startswith('exit_heads.')]:
        del weights[key]
    return detector, dict(state_dict=weights)


def test_only_exit_heads_are_forgiven_and_only_without_training_state():
    detector, checkpoint = exit_head_checkpoint()
    require_same_model(detector, checkpoint, 'a.pth', 'b.py')
    with pytest.raises(ConfigError, match=r'missing \(first exit_heads\.'):
        require_same_model(detector, checkpoint | dict(optimizer={}), 'a.pth', 'b.py')
    del checkpoint['state_dict']['decoder.layers.0.router.projection.bias']
    with pytest.raises(ConfigError, match=r'1 of \d+ .*first decoder\.layers\.0\.rout'):
        require_same_model(detector, checkpoint, 'a.pth', 'b.py')


def test_loading_reports_exit_heads_that_are_there_in_part():
    detector, checkpoint = exit_head_checkpoint()
    assert detector.load_state_dict(checkpoint['state_dict']).missing_keys == []
    weights = detector.state_dict()
    key = next(key for key in weights if key.startswith('exit_heads.'))
    del weights[key]
    assert detector.load_state_dict(weights, strict=False).missing_keys == [key]


def test_a_checkpoint_with_one_exit_head_for_all_layers_is_told(tmp_path):
    """As from before each layer had its own: `exit_heads.head.*`."""
    detector, checkpoint = exit_head_checkpoint()
    head = detector.bbox_head.state_dict()
    old = {f'exit_heads.head.{key}': value for key, value in head.items()}
    checkpoint['state_dict'] |= old
    for state in ({}, dict(optimizer={})):
        with pytest.raises(ConfigError) as error:
            require_same_model(detector, checkpoint | state, 'a.pth', 'b.py')
        assert str(error.value) == (
            'checkpoint a.pth was trained with one exit head for all decoder layers, '
            'and b.py has one for each: drop it with tools/model/publish.py to test '
            'the rest or to start from it; it cannot be resumed.'
        )
    torch.save(checkpoint, tmp_path / 'old.pth')
    arguments = [str(tmp_path / 'old.pth'), str(tmp_path / 'new.pth')]
    load_tool('model/publish').main(arguments)
    published = read_checkpoint(arguments[1])
    require_same_model(detector, published, 'new.pth', 'b.py')
    assert detector.load_state_dict(published['state_dict']).missing_keys == []


def test_plain_and_wrapped_weights(tmp_path, capsys):
    """A bare state_dict of a distributed run."""
    gone = ('exit_heads.b', 'exit_heads.c', 'hybrid_queries.weight')
    weights = OrderedDict({f'module.{key}': torch.ones(3) for key in ('a', *gone)})
    torch.save(weights, tmp_path / 'bare.pth')
    arguments = [str(tmp_path / 'bare.pth'), str(tmp_path / 'out.pth')]
    load_tool('model/publish').main(arguments)
    assert list(read_checkpoint(arguments[1])['state_dict']) == ['module.a']
    said = 'dropped: exit_heads (2 entries), hybrid_queries (1 entry)\n'
    assert said in capsys.readouterr().out


@pytest.mark.parametrize('name', ['folder/', 'published', 'published.pt'])
def test_a_name_that_is_no_checkpoints_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match='does not end in .pth'):
        load_tool('model/publish').main(['a.pth', f'{tmp_path}/{name}'])
    assert not list(tmp_path.iterdir())


def test_a_hybrid_branch_is_gone_and_not_missed(tmp_path):
    """What is left tests alike in a model with the branch and in one without."""
    options = METHODS['paq'] | dict(hybrid_branch=dict(num_queries=20))
    trained = build(host_config('dino', **options)).eval()
    paths = [str(tmp_path / name) for name in ('trained.pth', 'published.pth')]
    torch.save(dict(state_dict=trained.state_dict(), optimizer={}), paths[0])
    load_tool('model/publish').main(paths)
    before, after = map(read_checkpoint, paths)
    gone = set(before['state_dict']) - set(after['state_dict'])
    assert gone == {'hybrid_queries.weight'}

    batch = make_batch([2, 3])
    with torch.no_grad():
        expected = trained(**batch)
    plain = build(host_config('dino', **METHODS['paq']), seed=1)
    for model in (build(host_config('dino', **options), seed=1), plain):
        require_same_model(model, after, paths[1], 'b.py')
        result = model.load_state_dict(after['state_dict'])
        assert not result.missing_keys
        with torch.no_grad():
            for mine, theirs in zip(model.eval()(**batch), expected, strict=True):
                assert torch.equal(mine, theirs)

    # A checkpoint to go on from must be whole, and have nothing to spare.
    del before['state_dict']['hybrid_queries.weight']
    with pytest.raises(ConfigError, match=r'1 of .* missing \(first hybrid_queries'):
        require_same_model(trained, before, paths[0], 'b.py')
    with pytest.raises(ConfigError, match=r'unknown to the model \(first hybrid_quer'):
        weights = dict(state_dict=trained.state_dict())
        require_same_model(plain, weights, paths[0], 'b.py')


@pytest.mark.parametrize('method', ['qr_exit', 'hybrid'])
def test_whatever_is_marked_for_training_alone_is_dropped(method):
    options = METHODS.get(method) or dict(hybrid_branch=dict(num_queries=20))
    detector = build(host_config('dino', **options))
    parts = dict(detector.named_children())
    marked = {name for name in parts if getattr(parts[name], 'training_only', False)}
    published, _ = strip(dict(state_dict=detector.state_dict()), 'a.pth')
    kept = {key.partition('.')[0] for key in published['state_dict']}
    assert marked and not marked & kept
    # Nothing below the top is marked: its name is not what the tool looks for.
    names = {n for n, m in detector.named_modules() if hasattr(m, 'training_only')}
    assert names == marked


@pytest.mark.parametrize(
    ('content', 'out', 'words'),
    [
        (dict(state_dict=dict(a=torch.ones(1))), 'there.pth', 'exists already'),
        (dict(state_dict=dict(a=torch.ones(1))), 'there.pth/out.pth', 'is no folder'),
        (dict(state_dict=dict()), 'out.pth', 'holds no state_dict'),
        (dict(state_dict='none'), 'out.pth', 'holds no state_dict'),
        (dict(optimizer=dict()), 'out.pth', 'holds no state_dict'),
        (None, 'out.pth', 'does not exist'),
    ],
)
def test_refusals_leave_everything_as_it_was(tmp_path, content, out, words):
    (tmp_path / 'there.pth').write_text(json.dumps('kept'))
    if content is not None:
        torch.save(content, tmp_path / 'in.pth')
    before = sorted(tmp_path.iterdir())
    arguments = [str(tmp_path / 'in.pth'), str(tmp_path / out)]
    with pytest.raises(ConfigError, match=words):
        load_tool('model/publish').main(arguments)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / 'there.pth').read_text() == '"kept"'


def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    torch.save(dict(state_dict=dict(a=torch.ones(1))), tmp_path / 'in.pth')

    def fill_the_disk(checkpoint, file):
        file.write(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(torch, 'save', fill_the_disk)
    arguments = [str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth')]
    with pytest.raises(ConfigError, match=r'out\.pth cannot be written \(No space'):
        load_tool('model/publish').main(arguments)
    assert [path.name for path in tmp_path.iterdir()] == ['in.pth']
