"""A bound on the objects that denoising queries are made of."""

import copy

import pytest
import torch

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.hosts import denoised_objects
from mmdet_qrpaq.hosts.denoised_objects import draw
from mmdet_qrpaq.matching import objects_at
from tiny_hosts import METHODS, build, host_config, make_batch, run_loss, total_loss

DRAWN = torch.tensor([4, 0, 7])


def detector(host: str, most: int | None, **options):
    model = host_config(host, **options)
    model.denoised_objects = most
    return build(model)


def denoising_queries(detector, batch) -> int:
    """How many there are, beside the matching queries."""
    seen = []
    hook = detector.decoder.register_forward_pre_hook(
        lambda _, __, inputs: seen.append(inputs['query'].shape[1]), with_kwargs=True
    )
    run_loss(detector, batch)
    hook.remove()
    return seen[0] - detector.num_queries


@pytest.mark.parametrize(
    ('host', 'most', 'expected'),
    [
        # 4 // 9 groups are one: each object, and a negative of it.
        ('dino', None, 18),
        ('dino', 3, 6),
        ('dino', 2, 8),  # 4 // 2 groups of 2
        ('dn_deformable', None, 9),  # without negatives
        ('dn_deformable', 3, 3),
    ],
)
def test_number_of_queries_by_hand(host, most, expected):
    assert denoising_queries(detector(host, most), make_batch([9, 2])) == expected


@pytest.mark.parametrize('host', ['dino', 'dn_deformable'])
@pytest.mark.parametrize('batched', [True, False])
@pytest.mark.parametrize('method', ['none', 'qrpaq'])
def test_losses_are_those_of_the_drawn_objects(host, batched, method, monkeypatch):
    monkeypatch.setattr(
        denoised_objects, 'draw', lambda n, most: DRAWN if n > most else slice(None)
    )
    options = METHODS[method]
    capped, every = detector(host, 3, **options), detector(host, None, **options)
    for one in (capped, every):
        one.bbox_head.batched_losses = batched
    batch = make_batch([9, 2])
    cut = copy.deepcopy(batch)
    first = cut['data_samples'][0]
    first.gt_instances = objects_at(first.gt_instances, DRAWN)
    found = run_loss(capped, batch)
    denoised, matched = run_loss(every, cut), run_loss(every, batch)
    for name, value in found.items():
        expected = denoised if 'dn_' in name else matched
        torch.testing.assert_close(
            value, expected[name], rtol=1e-4, atol=1e-5, msg=name
        )
    total_loss(found).backward()


def test_with_room_for_all_it_is_the_host_bit_for_bit():
    batch = make_batch([3, 2])
    expected = run_loss(detector('dino', None), batch)
    found = run_loss(detector('dino', 3), batch)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_other_objects_are_drawn_each_time():
    draws = [draw(10, 3) for _ in range(30)]
    assert all(len(set(index.tolist())) == 3 for index in draws)
    assert {i for index in draws for i in index.tolist()} == set(range(10))
    assert draw(3, 3) == slice(None)


@pytest.mark.parametrize('most', [0, 2.5, 'all'])
def test_what_is_no_number_of_objects_is_refused(most):
    with pytest.raises(ConfigError, match='denoised_objects is'):
        detector('dino', most)


def test_the_hosts_own_head_cannot():
    model = host_config('dino')
    model.denoised_objects = 3
    model.bbox_head.type = 'DINOHead'
    with pytest.raises(ConfigError, match='denoised_objects needs bbox_head.type'):
        build(model)
