"""Losses at points against whole images, pair by pair."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.masks import MaskBranch
from mmdet_qrpaq.masks.ground_truth import read_masks, require_masks
from mmdet_qrpaq.masks.point_losses import PointSampling, queries_of_objects
from tiny_hosts import ellipses

LAYERS, DIM, QUERIES = 2, 8, 6
FOCAL = dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=20)


def every_pixel(height: int, width: int):
    """A draw of points that is no draw: the centre of every pixel, once."""
    y = (torch.arange(height) + 0.5) / height
    x = (torch.arange(width) + 0.5) / width
    grid = torch.stack(torch.meshgrid(x, y, indexing='xy'), -1).view(1, -1, 2)
    return lambda self, logits: grid.expand(len(logits), -1, -1)


def make_case(num_objects, shapes, seed=0):
    """Branch, hidden states, pixels, matches and objects; images padded to 24 x 32."""
    rng = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    branch = MaskBranch(in_channels=4, embed_dims=DIM)
    bs = len(num_objects)
    states = torch.randn(LAYERS, bs, QUERIES, DIM, generator=rng)
    pixels = torch.randn(bs, DIM, 6, 8, generator=rng)
    matches = torch.full((LAYERS, bs, QUERIES), -1)
    objects = []
    for image, (number, (h, w)) in enumerate(zip(num_objects, shapes, strict=True)):
        corners = torch.rand(number, 2, 2, generator=rng).sort(1).values.flatten(1)
        boxes = corners * torch.tensor([w, h, w, h]) * 0.5
        boxes[:, 2:] += torch.tensor([w, h]) * 0.4
        masks = ellipses(boxes, h, w)
        objects.append(InstanceData(bboxes=boxes, masks=masks))
        for layer in matches:
            chosen = torch.randperm(QUERIES, generator=rng)[:number]
            layer[image, chosen] = torch.arange(number)[: len(chosen)]
    return branch, states, pixels, matches, objects


def by_loop(branch, states, pixels, matches, objects, loss_mask='bce'):
    """Both losses of each layer over whole images, one pair after the other."""
    size = tuple(4 * side for side in pixels.shape[-2:])
    totals = []
    for layer in range(LAYERS):
        mask_total, dice_total, count = 0.0, 0.0, 0
        for image, (state, owner) in enumerate(
            zip(states[layer], matches[layer], strict=True)
        ):
            for query, which in enumerate(owner.tolist()):
                if which < 0:
                    continue
                embedding = branch.mask_embedding(state[query])
                logit = (embedding[:, None, None] * pixels[image]).sum(0)
                logit = F.interpolate(
                    logit[None, None], size=size, mode='bilinear', align_corners=False
                )[0, 0]
                mask = torch.zeros(size)
                truth = objects[image].masks.to_ndarray()[which]
                mask[: truth.shape[0], : truth.shape[1]] = torch.from_numpy(truth)
                chance = logit.sigmoid()
                cross = -(
                    mask * F.logsigmoid(logit) + (1 - mask) * F.logsigmoid(-logit)
                )
                if loss_mask == 'focal':
                    wrong = mask * (1 - chance) + (1 - mask) * chance
                    weight = 20 * (0.25 * mask + 0.75 * (1 - mask)) * wrong**2
                else:
                    weight = 5.0
                mask_total += (weight * cross).mean()
                both = 2 * (chance * mask).sum() + 1
                dice_total += 5 * (1 - both / (chance.sum() + mask.sum() + 1))
                count += 1
        totals.append((mask_total / max(count, 1), dice_total / max(count, 1)))
    return totals


CASES = {
    'two images': ([2, 3], [(24, 32), (17, 21)]),
    'one is empty': ([0, 2], [(24, 32), (20, 30)]),
    'more objects than queries': ([8, 1], [(24, 32), (24, 32)]),
}


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('kind', ['bce', 'focal'])
@pytest.mark.parametrize('at_once', [16, 2, 1])
def test_at_every_pixel_they_are_the_whole_image(case, kind, at_once, monkeypatch):
    branch, states, pixels, matches, objects = make_case(*CASES[case])
    branch.at_once = at_once
    if kind == 'focal':
        branch.loss_mask = MaskBranch(4, DIM, loss_mask=FOCAL).loss_mask
    monkeypatch.setattr(PointSampling, 'draw', every_pixel(24, 32))
    states.requires_grad_(), pixels.requires_grad_()
    other = copy.deepcopy(branch)
    found = branch.loss(states, pixels, matches, objects)
    sum(found.values()).backward()
    gradients = states.grad, pixels.grad

    states.grad = pixels.grad = None
    expected = by_loop(other, states, pixels, matches, objects, kind)
    assert list(found) == ['d0.loss_mask', 'd0.loss_dice', 'loss_mask', 'loss_dice']
    for value, number in zip(found.values(), sum(expected, ()), strict=True):
        torch.testing.assert_close(value, number, rtol=1e-4, atol=1e-5)
    sum(sum(expected, ())).backward()
    for mine, theirs in zip(gradients, (states.grad, pixels.grad), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)
    for mine, theirs in zip(
        branch.mask_embedding.parameters(),
        other.mask_embedding.parameters(),
        strict=True,
    ):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-4)


def test_without_any_object_they_are_zero_with_a_gradient():
    branch, states, pixels, matches, objects = make_case([0, 0], [(24, 32)] * 2)
    pixels.requires_grad_()
    losses = branch.loss(states, pixels, matches, objects)
    assert all(value == 0 for value in losses.values())
    sum(losses.values()).backward()
    assert pixels.grad is not None and not pixels.grad.any()
    for parameter in branch.mask_embedding.parameters():
        assert parameter.grad is not None and not parameter.grad.any()


def test_drawn_points_come_near_the_whole_image():
    """Uniform points are a fair sample; uncertain ones are the harder ones."""
    branch, states, pixels, matches, objects = make_case([2, 3], [(24, 32)] * 2)
    whole = by_loop(branch, states, pixels, matches, objects)[-1][0]
    branch.sampling = PointSampling(20000, 1.0, 0.0)
    fair = branch.loss(states, pixels, matches, objects)['loss_mask']
    torch.testing.assert_close(fair, whole, rtol=0.03, atol=0)


def test_points_are_the_least_certain_candidates():
    logits = torch.linspace(-4, 4, 65).repeat(1, 8, 1)  # 0 at the middle column
    torch.manual_seed(0)
    points = PointSampling(40, 3.0, 1.0).draw(logits)
    assert points.shape == (1, 40, 2)
    # A third of the candidates, most of them nearest to the middle: half of a fair
    # sample would be farther than 0.25. (Upstream's sampling also likes the very edge.)
    assert (points[0, :, 0] - 0.5).abs().median() < 0.12


def test_memory_is_bounded_by_the_objects_at_once(monkeypatch):
    """What stays for the backward pass does not grow with the number of objects."""
    held = []
    for number in (4, 40):
        branch, states, pixels, matches, objects = make_case([number], [(24, 32)])
        branch.at_once = 2
        states = states.repeat(1, 1, 10, 1).requires_grad_()
        matches = torch.arange(60).expand(LAYERS, 1, 60).clone()
        matches[matches >= number] = -1
        kept = 0

        def pack(tensor):
            nonlocal kept
            # Masks and logits of pixels, not the embeddings of queries.
            kept = max(kept, tensor.numel() if tensor.dim() == 4 else 0)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            losses = branch.loss(states, pixels, matches, objects)
        held.append(kept)
        sum(losses.values()).backward()
        assert states.grad[:, 0, :number].abs().sum(-1).gt(0).all()
    assert held[0] == held[1]


def test_queries_of_objects():
    matches = torch.tensor([[[1, -1, 0, -1], [-1, -1, -1, 0]]])
    assert queries_of_objects(matches, 2).tolist() == [[[2, 0], [3, -1]]]


def test_masks_are_read_a_few_at_a_time_from_either_kind():
    square = [np.array([2.0, 1, 6, 1, 6, 4, 2, 4])]
    corner = [np.array([0.0, 0, 3, 0, 3, 2, 0, 2])]
    polygons = PolygonMasks([square, corner, square], 6, 8)
    bitmaps = BitmapMasks(polygons.to_ndarray(), 6, 8)
    one = BitmapMasks(np.ones((1, 4, 4), np.uint8), 4, 4)
    read = [
        read_masks(
            [InstanceData(masks=kind), InstanceData(masks=one)], 1, 3, (8, 12), 'cpu'
        )
        for kind in (polygons, bitmaps)
    ]
    assert torch.equal(*read)
    assert read[0].shape == (2, 2, 8, 12) and read[0].dtype == torch.float32
    assert read[0][0, 0].nonzero().tolist() == [
        [y, x] for y in (0, 1) for x in (0, 1, 2)
    ]
    assert read[0][0, 1].sum() == 3 * 4
    assert not read[0][1].any()  # it has only object 0


def test_objects_without_masks_are_refused():
    *_, objects = make_case([1, 0], [(24, 32)] * 2)
    require_masks(objects)
    del objects[1].masks
    with pytest.raises(ConfigError, match='loads no masks: give .* with_mask=True'):
        require_masks(objects)


@pytest.mark.parametrize(
    'wrong',
    [
        dict(num_points=0),
        dict(oversample_ratio=0.5),
        dict(importance_sample_ratio=1.5),
        dict(at_once=2.5),
    ],
    ids=str,
)
def test_a_wrong_number_is_refused(wrong):
    with pytest.raises(ConfigError, match=f'mask_branch.{min(wrong)} is '):
        MaskBranch(4, DIM, **wrong)
