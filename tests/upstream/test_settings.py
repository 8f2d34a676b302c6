"""What mmengine and mmdet make of settings, without this package.

Each test holds a row of docs/upstream.md: one that fails tells of a new release that
does otherwise, and the row and what we do about it can go.
"""

import argparse

import pytest
import torch
from mmdet.visualization import get_palette
from mmengine.config import DictAction
from mmengine.optim import MultiStepLR
from mmengine.runner import Runner


def test_options_lose_spaces_and_quotes():
    def read(word):
        settings = argparse.Namespace()
        DictAction([], 'settings')(None, settings, [word])
        return settings.settings['a']

    assert read("a=('hex bolt','lock nut')") == ('hexbolt', 'locknut')
    assert read("a=('0','1e3','None')") == (0, 1000.0, None)
    assert read('a=my data/images') == 'mydata/images'


def test_a_schedule_is_restored_over_the_one_of_the_config():
    """And of more schedulers than there were, the last start anew."""

    def optimizer(lr):
        return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)

    old = optimizer(lr=1.0)
    written = MultiStepLR(old, milestones=[1])
    for _ in range(2):
        old.step()
        written.step()
    new = optimizer(lr=5.0)
    schedule = MultiStepLR(new, milestones=[3])
    new.load_state_dict(old.state_dict())
    schedule.load_state_dict(written.state_dict())
    assert new.param_groups[0]['lr'] == 0.1  # neither 5 nor its own 1
    for _ in range(3):
        new.step()
        schedule.step()
    assert new.param_groups[0]['lr'] == 0.1  # no drop after the third


def test_workers_that_persist_need_workers():
    loader = dict(
        dataset=[0, 1],
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    assert len(Runner.build_dataloader(loader)) == 2
    for setting in (
        dict(persistent_workers=True),
        dict(prefetch_factor=2),
        dict(multiprocessing_context='fork'),
    ):
        with pytest.raises(ValueError, match='num_workers'):
            Runner.build_dataloader(loader | setting)
    with pytest.raises(AssertionError):
        iter(Runner.build_dataloader(loader | dict(timeout=60)))


def test_a_palette_has_a_colour_for_each_class_or_none_at_all():
    with pytest.raises(AssertionError, match='length of palette'):
        get_palette([(255, 0, 0)], 2)
    assert len(get_palette(None, 2)) == 2
    # A tuple is one colour, whatever is in it.
    assert (
        get_palette(((255, 0, 0), (0, 255, 0)), 2) == [((255, 0, 0), (0, 255, 0))] * 2
    )
