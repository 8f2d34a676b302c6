"""Gradients of a layer to all that they can reach, and their comparison."""

import torch


def differentiable(query: torch.Tensor, inputs: dict) -> tuple[torch.Tensor, dict]:
    """Copies of a layer's input that collect gradients."""

    def leaf(value):
        if torch.is_tensor(value) and value.is_floating_point():
            return value.clone().requires_grad_()
        return value

    return leaf(query), {name: leaf(value) for name, value in inputs.items()}


def gradients(run, layer, query, inputs) -> dict[str, torch.Tensor]:
    """Output, and its gradients to all parameters and inputs, by name."""
    output = run(query, inputs)
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(output.shape, generator=draw, dtype=output.dtype)
    leaves = dict(layer.named_parameters()) | {'query': query}
    leaves |= {
        f'inputs.{name}': value
        for name, value in inputs.items()
        if torch.is_tensor(value) and value.requires_grad
    }
    if not output.requires_grad:
        return dict(output=output)
    found = torch.autograd.grad(
        (output * weight).sum(), list(leaves.values()), allow_unused=True
    )
    filled = {
        name: torch.zeros_like(leaf) if grad is None else grad
        for (name, leaf), grad in zip(leaves.items(), found, strict=True)
    }
    return dict(filled, output=output)


def assert_same(found: dict, expected: dict) -> None:
    """Equal but for rounding in double precision."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        error = (found[name] - value).abs().max()
        assert error <= 1e-9 * value.abs().max().clamp(min=1), (name, float(error))
