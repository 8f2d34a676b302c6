"""The committed records of accuracy, and the tables made of them."""

import copy
import json
import shlex

import jsonschema
import pytest

from benchmarks.accuracy import accuracy_tables, paired
from check_each import check_each
from mmdet_qrpaq.sweeps.record import SCHEMA
from tiny_hosts import REPOSITORY

RECORDS = sorted((REPOSITORY / 'benchmarks' / 'results' / 'accuracy').glob('*/*.json'))


def test_a_record_is_whole_and_its_command_trains_it():
    check_each(check_record, RECORDS)


def check_record(path):
    record = json.loads(path.read_text())
    jsonschema.validate(record, SCHEMA)
    settings = record['settings']
    program, script, *options = shlex.split(record['environment']['command'])
    assert (program, script) == ('python', 'benchmarks/accuracy/paired.py')
    args = paired.parse_args(options)
    study, variant = settings['study'], settings['variant']
    if source := settings.get('trained_for'):
        folder, name = source.split('/')
        trained = json.loads((path.parents[1] / folder / name).read_text())
        study, variant = (trained['settings'][key] for key in ('study', 'variant'))
        assert trained['measured'] == record['measured']
    assert (args.study, args.tag) == (study, settings.get('tag'))
    assert variant in (args.variants or paired.STUDIES[study].variants)
    assert settings['seed'] in args.seeds
    assert args.iterations == settings['iterations']


@pytest.fixture
def committed():
    return accuracy_tables.studied()['methods_deformable']


def cells(table: str, variant: str) -> list[str]:
    (row,) = (
        line for line in table.splitlines() if line.startswith(f'| {variant} | 0')
    )
    return [cell.strip() for cell in row.strip('|').split('|')]


def test_a_gain_of_the_paper_is_over_the_host_it_was_measured_on(committed):
    table = accuracy_tables.study_table(*committed)
    assert cells(table, 'host')[-2:] == ['-', '-']  # not the paper's '++'
    assert cells(table, 'PaQ')[-2:] == ['48.4', '+1.5 (on 46.9)']
    assert cells(table, 'QR')[-2:] == ['43.1', '+4.8 (on 38.3)']
    assert cells(table, 'Q')[-2:] == ['-', '-']


def test_what_a_tag_keeps_apart_is_not_in_short(committed, monkeypatch):
    study, records = committed
    again = copy.deepcopy({'host': {1: records['host'][1]}})
    again['host'][1]['settings']['tag'] = 'again'
    found = dict(methods_x=(study, records), methods_x_again=(study, again))
    monkeypatch.setattr(accuracy_tables, 'studied', lambda: found)
    asked = accuracy_tables.question(study, records)
    assert accuracy_tables.summary().count(asked) == 1
    assert accuracy_tables.tables().count(asked) == 2
    # Nor is it all that there is to run.
    assert 'not run' not in accuracy_tables.study_table(study, again)
