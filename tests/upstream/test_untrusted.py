"""What settings and files of others can make libraries run, without this package.

Each test holds a row of docs/upstream.md: one that fails tells of a new release that
does otherwise, and the row and what we do about it can go.
"""

import os

import mmengine
import pytest
import torch
from mmcv.ops import batched_nms
from mmdet.registry import MODELS


def test_a_type_that_no_registry_knows_is_imported_and_called():
    with pytest.raises(TypeError, match='getcwd'):  # it takes no `a`
        MODELS.build(dict(type='os.getcwd', a=1))
    assert MODELS.get('os.getcwd') is os.getcwd


def test_the_name_of_an_nms_is_evaluated():
    boxes, scores = torch.tensor([[0.0, 0.0, 9.0, 9.0]]), torch.ones(1)
    settings = dict(type="(_ for _ in ()).throw(ValueError('evaluated'))")
    with pytest.raises(ValueError, match='evaluated'):
        batched_nms(boxes, scores, torch.zeros(1), settings)


def test_yaml_is_loaded_with_all_that_it_asks_for(tmp_path):
    path = tmp_path / 'annotations.yaml'
    path.write_text('!!python/object/apply:os.getcwd []')
    assert mmengine.load(str(path)) == os.getcwd()
