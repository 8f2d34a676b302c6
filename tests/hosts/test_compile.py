"""What torch.compile takes of a detector; `docs/speed.md` has the table.

Without code generation (`backend='eager'`), which is what takes minutes: what breaks a
graph does so before it.
"""

import pytest
import torch
from torch._dynamo.utils import counters

from tiny_hosts import build_host, make_batch, run_loss, total_loss

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def compiled(module: torch.nn.Module, **options) -> None:
    """As mmengine's setting `compile` does."""
    module.forward = torch.compile(module.forward, backend='eager', **options)


def test_the_backbone_is_one_graph():
    detector, batch = build_host('dino', 'qrpaq').eval(), make_batch([2, 3])
    with torch.no_grad():
        expected = detector(**batch)
        compiled(detector.backbone, fullgraph=True)
        found = detector(**batch)
    torch.testing.assert_close(found, expected)
    assert counters['stats']['unique_graphs'] == 1


@pytest.mark.parametrize('part', ['encoder', 'decoder'])
@pytest.mark.parametrize('method', ['none', 'qr'])
def test_encoder_and_decoder_break_where_sizes_are_read(part, method):
    detector, batch = build_host('dino', method).eval(), make_batch([2, 3])
    with torch.no_grad():
        expected = detector(**batch)
        compiled(getattr(detector, part))
        found = detector(**batch)
    torch.testing.assert_close(found[:2], expected[:2], rtol=1e-4, atol=1e-5)
    assert counters['graph_break'], 'if nothing breaks, the table is out of date'


@pytest.mark.parametrize('method', ['none', 'qrpaq'])
def test_a_whole_training_step_is_the_same(method):
    plain, ours = build_host('dino', method), build_host('dino', method)
    batch = make_batch([2, 3])
    expected = run_loss(plain, batch)
    total_loss(expected).backward()
    compiled(ours)
    found = run_loss(ours, batch)
    total_loss(found).backward()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
    for name, parameter in plain.named_parameters():
        if parameter.grad is not None:
            grad = dict(ours.named_parameters())[name].grad
            scale = parameter.grad.abs().max().clamp(min=1e-4)
            assert (grad - parameter.grad).abs().max() <= 2e-3 * scale, name
