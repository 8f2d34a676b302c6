"""The hook's numbers are those of the tools, at every validation."""

import json

import pytest
import torch
from torch import nn

from mmdet_qrpaq.analysis.measuring import measure
from mmdet_qrpaq.analysis.patterns.capture import effective_patterns
from mmdet_qrpaq.analysis.queries.section import USAGE
from mmdet_qrpaq.analysis.queries.usage_hook import QueryUsageHook
from mmdet_qrpaq.analysis.trained_detector import TrainedModel
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.runtime.configs import read_config
from tiny_runs import CLASSES, CONFIG, run_tool, save_untrained, write_dataset

# Low enough that an untrained model has confident hits.
HOOK = "dict(type='QueryUsageHook', score_threshold=0.0, iou_threshold=0.0)"
PATTERNS = "model.update(type='QRPaQDINO', pattern_query=dict(num_patterns=4))\n"


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp('usage_hook'))


@pytest.mark.parametrize('with_patterns', [False, True])
def test_a_test_run_logs_what_the_tools_count(folder, tmp_path, with_patterns):
    config = tmp_path / 'config.py'
    text = CONFIG.format(classes=CLASSES, root=str(folder))
    text += PATTERNS * with_patterns + f'custom_hooks = [{HOOK}]\n'
    config.write_text(text)
    checkpoint = tmp_path / 'checkpoint.pth'
    save_untrained(config, checkpoint)
    run_tool('test', config, checkpoint, '--work-dir', tmp_path / 'run')

    cfg = read_config(str(config))
    model = TrainedModel('tiny', str(config), str(checkpoint), cfg)
    options = dict(score_threshold=0.0, iou_threshold=0.0)
    (expected,) = measure(USAGE, [model], options)[0]['models']
    (log,) = (tmp_path / 'run').glob('*/*.json')
    logged = {
        key.removeprefix('queries/'): value
        for key, value in json.loads(log.read_text().splitlines()[-1]).items()
        if key.startswith('queries/')
    }
    assert logged.pop('gini') == pytest.approx(expected['gini'])
    confident = logged.pop('gini_confident', None)
    assert confident == pytest.approx(expected['gini_confident'])
    assert logged.pop('unused') == expected['unused_queries']
    if with_patterns:
        weights, detector = [], model.detector
        detector.pattern_query_generator.weight_generator.register_forward_hook(
            lambda module, inputs, output: weights.append(output)
        )
        with torch.no_grad():
            for batch in model.dataloader:
                detector.test_step(batch)
        rows = torch.cat(weights).flatten(0, 1)
        entropy = -(rows * rows.log()).sum(-1)
        assert logged.pop('effective_patterns') == pytest.approx(
            entropy.exp().mean().item(), rel=1e-5
        )
        torch.testing.assert_close(effective_patterns(rows), entropy.exp())
    assert not logged


def test_nothing_listens_after_a_validation(folder, tmp_path):
    config = tmp_path / 'config.py'
    text = CONFIG.format(classes=CLASSES, root=str(folder))
    config.write_text(text + f'{PATTERNS}custom_hooks = [{HOOK}]\n')
    hook, cfg = QueryUsageHook(), read_config(str(config))
    save_untrained(config, tmp_path / 'checkpoint.pth')
    weights = str(tmp_path / 'checkpoint.pth')
    trained = TrainedModel('tiny', str(config), weights, cfg)
    detector, loader = trained.detector, trained.dataloader

    class Runner:
        model, val_dataloader = detector, loader

    for _ in range(2):  # the second one after a validation that was broken off
        hook.before_val_epoch(Runner)
    listeners = [len(module._forward_hooks) for module in detector.modules()]
    assert sum(listeners) == 2
    hook.after_val_epoch(Runner)
    assert not any(len(module._forward_hooks) for module in detector.modules())


@pytest.mark.parametrize('name', ['score_threshold', 'iou_threshold'])
def test_thresholds_are_shares(name):
    with pytest.raises(ConfigError, match=rf'QueryUsageHook\.{name}'):
        QueryUsageHook(**{name: 1.5})


def test_a_model_without_assigner_is_refused(folder):
    class Runner:
        model = nn.Linear(1, 1)

        class val_dataloader:  # noqa: N801 (as the runner's attribute)
            dataset = None

    with pytest.raises(ConfigError, match='in custom_hooks needs a DETR'):
        QueryUsageHook().before_val_epoch(Runner)
