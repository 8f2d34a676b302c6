"""The paired benchmark: what it trains, and the table it makes of what it recorded."""

import json
import sys

import pytest

from tiny_hosts import REPOSITORY

sys.path[:0] = [
    str(REPOSITORY / 'benchmarks'),
    str(REPOSITORY / 'benchmarks' / 'accuracy'),
]
import paired  # noqa: E402
import studies  # noqa: E402
import summary  # noqa: E402

STUDY = 'routing_policy'


def record(folder, variant, seed, ap, routing=None):
    path = folder / STUDY / f'{paired.slug(variant)}_seed{seed}.json'
    path.parent.mkdir(exist_ok=True)
    settings = dict(variant=variant, seed=seed)
    measured = dict(AP=ap, AP50=2 * ap, routing=routing or {})
    path.write_text(json.dumps(dict(settings=settings, measured=measured)))


def test_the_table_by_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(summary, 'RESULTS', tmp_path)
    for seed, ap in enumerate((0.30, 0.34, 0.32)):
        record(tmp_path, 'host', seed, ap)
    routing = {
        'routing/d0.layer': 12.0,
        'routing/d0.layer_std': 1.5,
        'routing/d0.layer_differ': 0.25,
        'routing/d1.self_attn': 30.0,
    }
    record(tmp_path, 'ours', 0, 0.32, routing)
    record(tmp_path, 'ours', 2, 0.36, routing)
    table = summary.study_table(STUDY, ['host', 'ours', 'other'], num_queries=30)
    rows = [
        [cell.strip() for cell in line.split('|')[1:-1]]
        for line in table.splitlines()[2:]
    ]
    assert rows[0][:5] == ['host', '0, 1, 2', '0.320 ± 0.020', '0.640 ± 0.040', '-']
    # Differences of seeds 0 and 2: 0.02 and 0.04, so 0.03 and sqrt(2) * 0.01.
    assert rows[1][:5] == [
        'ours',
        '0, 2',
        '0.340 ± 0.028',
        '0.680 ± 0.057',
        '+0.030 ± 0.014',
    ]
    assert rows[1][5:] == ['0.40 / 1.00 / -', '0.05 / - / -', '0.25 / - / -']
    assert rows[2][:2] == ['other', 'not run']


@pytest.mark.parametrize('variant', studies.STUDIES[STUDY].variants)
def test_variants_differ_in_the_model_alone(variant):
    args = paired.parse_args([STUDY, '--epochs', '2', '--image-size', '96'])
    ours, host = (paired.make_config(args, v, 1) for v in (variant, 'host'))
    routed = variant != 'host'
    assert ('query_routing' in ours.model) == routed
    assert bool(ours.get('custom_hooks')) == routed
    for key in host:
        if key not in ('model', 'custom_hooks'):
            assert ours[key] == host[key], key
    assert ours.train_cfg.max_epochs == 2 and ours.randomness.seed == 1
    assert ours.train_dataloader.dataset.pipeline[2].scale == (96, 96)


def test_an_unknown_variant_is_named(capsys):
    with pytest.raises(SystemExit):
        paired.parse_args([STUDY, '--variants', 'hots'])
    assert "no variant 'hots': use 'host'" in capsys.readouterr().err


def test_recorded_runs_are_not_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(paired.recording, 'RESULTS', tmp_path)
    (tmp_path / 'accuracy').mkdir()
    record(tmp_path / 'accuracy', 'host', 0, 0.3)
    said = []
    args = paired.parse_args([STUDY])
    assert paired.run_one(args, 'host', 0, said.append)
    assert said == ['host, seed 0: recorded already']


def test_a_failing_run_is_reported_and_leaves_no_record(tmp_path, monkeypatch):
    monkeypatch.setattr(paired.recording, 'RESULTS', tmp_path)
    monkeypatch.setattr(paired, 'train', lambda *_: 1)
    said = []
    args = paired.parse_args([STUDY, '--work-dir', str(tmp_path / 'work')])
    assert not paired.run_one(args, 'host', 0, said.append)
    assert 'failed with status 1' in said[0]
    assert not list(tmp_path.rglob('*.json'))
