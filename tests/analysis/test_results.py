"""Results are written whole, checked, and read again."""

import importlib.metadata
import json
from types import SimpleNamespace

import jsonschema
import pytest

from mmdet_qrpaq.analysis.measuring import write_measured
from mmdet_qrpaq.records.provenance import describe_environment
from mmdet_qrpaq.records.schema import COUNT, NUMBER, fields, list_of, or_none
from mmdet_qrpaq.version import __version__

SCHEMA = fields(hits=list_of(COUNT), gini=or_none(NUMBER))


def write(path, numbers, origin=None):
    section = SimpleNamespace(name='usage', work=SimpleNamespace(SCHEMA=SCHEMA))
    write_measured(path, section, origin or {}, numbers, figure=None)


def test_round_trip(tmp_path):
    path = tmp_path / 'new' / 'usage.json'
    numbers = dict(hits=[3, 0], gini=None)
    write(path, numbers, dict(describe_environment(), config='a.py'))
    result = json.loads(path.read_text())
    assert result['tool'] == 'usage'
    assert result['numbers'] == numbers
    assert result['origin']['config'] == 'a.py'
    versions = result['origin']['versions']
    assert versions['torch'] and versions['mmdet_qrpaq'] == __version__
    # A stand-in for its operators is a distribution of its own beside mmcv-lite.
    owners = importlib.metadata.packages_distributions()['mmcv']
    assert set(owners) <= versions.keys()


@pytest.mark.parametrize(
    'numbers',
    [
        dict(hits=[3, -1], gini=0.5),
        dict(hits=[3, 0.5], gini=0.5),
        dict(hits=[3]),
        dict(hits=[3], gini=0.5, more=1),
        dict(hits=[3], gini='0.5'),
    ],
)
def test_what_the_schema_forbids_is_not_written(numbers, tmp_path):
    path = tmp_path / 'usage.json'
    path.write_text('old')
    with pytest.raises(jsonschema.ValidationError):
        write(path, numbers)
    assert path.read_text() == 'old'


def test_not_a_number_is_not_written(tmp_path):
    with pytest.raises(ValueError, match='not JSON compliant'):
        numbers = dict(hits=[], gini=float('nan'))
        write(tmp_path / 'usage.json', numbers)
    assert not list(tmp_path.iterdir())
