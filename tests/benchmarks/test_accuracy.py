"""The paired benchmark: what it trains, and where it records it."""

import json

import pytest
from mmdet.registry import MODELS

from benchmarks.accuracy import paired, studies
from leaves import structure_only
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.sweeps.record import settings_of
from tiny_hosts import REPOSITORY
from tiny_runs import write_dataset

STUDIES = studies.STUDIES
METHODS = [name for name in STUDIES if name.startswith('methods_')]


@pytest.fixture
def data(tmp_path):
    root = write_dataset(tmp_path / 'my shapes')
    for split in ('train', 'val'):
        (root / f'{split}.json').rename(root / f'instances_{split}.json')
    return str(root)


def plan(*options):
    return {
        run.variant: run
        for run in paired.plan_study(paired.parse_args(list(map(str, options))))
    }


@pytest.mark.parametrize('study', STUDIES)
def test_variants_differ_in_the_model_alone(study, data):
    runs = plan(study, '--data', data, '--epochs', 2, '--image-size', 96, '--seeds', 1)
    assert list(runs) == list(STUDIES[study].variants)
    first = next(iter(runs.values())).config
    for run in runs.values():
        cfg = run.config
        hooks = [hook['type'] for hook in cfg.get('custom_hooks') or []]
        assert ('QueryRoutingHook' in hooks) == ('query_routing' in cfg.model)
        assert {*hooks} <= {
            'QueryRoutingHook',
            'FasterAttentionHook',
            'WarmRoutingHook',
        }
        for key in first:
            if key not in ('model', 'custom_hooks'):
                assert cfg[key] == first[key], key
        assert cfg.train_cfg.max_epochs == 2 and cfg.randomness.seed == 1
        assert cfg.train_dataloader.dataset.pipeline[2].scale == (96, 96)
        assert run.leaf == STUDIES[study].leaf and run.extra == dict(study=study)
    assert len({run.digest for run in runs.values()}) == len(runs)
    assert len({run.file_name for run in runs.values()}) == len(runs)


@pytest.mark.parametrize('study', STUDIES)
def test_every_variant_builds(study, data):
    for run in plan(study, '--data', data, '--seeds', 0).values():
        with structure_only():
            model = MODELS.build(run.config.model)
        assert type(model).__name__ == run.config.model.type


@pytest.mark.parametrize('study', METHODS)
def test_methods_are_what_they_are_called(study, data):
    runs = plan(study, '--data', data, '--seeds', 0)
    for name, run in runs.items():
        model = run.config.model
        queries = model.get('pattern_query', {}).get('type')
        assert (queries == 'PatternQueryGenerator') == (
            name in ('P', 'PaQ', 'QR + PaQ')
        )
        assert (queries == 'StaticContent') == (name == 'learned content')
        assert ('quality' in model.bbox_head) == (name in ('Q', 'PaQ', 'QR + PaQ'))
        assert ('query_routing' in model) == name.startswith('QR')
        varifocal = model.bbox_head.loss_cls.type == 'IoUAwareVarifocalLoss'
        assert varifocal == ('quality' in model.bbox_head)
        assert model.type.startswith('QRPaQ') == (name != 'host')


def test_records_of_other_data_or_budget_lie_apart():
    for options, folder in (
        ([], 'varifocal'),
        (['--data', 'x/my shapes/'], 'varifocal_my_shapes'),
        (['--data', 'x/shapes', '--tag', 'long'], 'varifocal_shapes_long'),
    ):
        args = paired.parse_args(['varifocal', *options])
        assert paired.folder_name(args) == folder


def test_common_options_and_the_variant_both_count(data):
    options = ['--cfg-options', 'model.num_queries=12', '--variants', 'P']
    run = plan('methods_dino', '--data', data, '--seeds', 0, *options)['P']
    assert run.config.model.num_queries == 12
    assert run.config.model.pattern_query.num_patterns == 10


def test_an_unknown_variant_is_named(capsys):
    with pytest.raises(SystemExit):
        paired.parse_args(['routing_policy', '--variants', 'hots'])
    assert "no variant 'hots': use 'host'" in capsys.readouterr().err


def test_a_record_older_than_digests_is_not_reused(data, tmp_path, monkeypatch):
    """Nobody knows whether it was made with these settings."""
    monkeypatch.setattr(paired, 'RESULTS', tmp_path / 'results')
    monkeypatch.chdir(REPOSITORY)
    folder = tmp_path / 'results' / 'varifocal_my_shapes'
    folder.mkdir(parents=True)
    (folder / 'focal_seed0.json').write_text('{"settings": {}}')
    options = ['varifocal', '--data', data, '--seeds', '0']
    with pytest.raises(ConfigError, match='choose another --tag'):
        paired.main([*options, '--work-dir', str(tmp_path / 'work')])


def test_runs_of_another_budget_do_not_join_a_table(data, tmp_path):
    options = ['methods_dino', '--data', data, '--seeds', 0, 0, '--iterations', 9]
    runs = list(plan(*options).values())
    record = dict(settings=dict(settings_of(runs[0]), iterations=9))
    (tmp_path / 'host_seed0.json').write_text(json.dumps(record))
    paired.require_same_budget(runs[1:], tmp_path)
    for more, key in (
        (['--batch-size', 7], 'batch_size'),
        (['--image-size', 96], 'image_size'),
        (['--cfg-options', 'model.num_queries=12'], 'options'),
    ):
        other = list(plan(*options, *more).values())
        with pytest.raises(ConfigError, match=f'{key}.*another --tag'):
            paired.require_same_budget(other, tmp_path)
    longer = list(plan(*options[:-1], 10).values())
    with pytest.raises(ConfigError, match='iterations = 9, and this is 10'):
        paired.require_same_budget(longer, tmp_path)


def test_a_seed_given_twice_is_trained_once(data):
    args = paired.parse_args(['varifocal', '--data', data, '--seeds', '1', '1'])
    assert [run.seed for run in paired.plan_study(args)] == [1, 1, 1]  # variants


def test_a_run_of_another_study_is_not_repeated(data, tmp_path, monkeypatch):
    """Its record is taken over, by the digest of its settings and data."""
    monkeypatch.setattr(paired, 'RESULTS', tmp_path / 'results')
    paq = plan('methods_dino', '--data', data, '--seeds', 3)['PaQ']
    record = dict(settings=dict(digest=paq.digest, variant='PaQ', study='methods_dino'))
    source = tmp_path / 'results' / 'methods_dino_my_shapes' / 'PaQ_seed3.json'
    source.parent.mkdir(parents=True)
    source.write_text(json.dumps(record))
    options = ['varifocal', '--data', data, '--seeds', '3']
    runs = plan(*options)
    # Another machine's, or a repetition.
    tagged = paired.parse_args([*options, '--tag', 'again'])
    paired.take_over(list(runs.values()), tagged)
    assert [path.name for path in (tmp_path / 'results').iterdir()] == [
        'methods_dino_my_shapes'
    ]
    paired.take_over(list(runs.values()), paired.parse_args(options))
    (taken,) = (tmp_path / 'results' / 'varifocal_my_shapes').iterdir()
    assert taken.name == 'varifocal_seed3.json'
    assert json.loads(taken.read_text())['settings'] == dict(
        digest=runs['varifocal'].digest,
        variant='varifocal',
        study='varifocal',
        trained_for='methods_dino_my_shapes/PaQ_seed3.json',
    )
