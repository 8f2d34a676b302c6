"""A routed decoder layer in plain loops: image by image, query by query.

QR-DETR Sec. 4: score (Eq. 5), split (Eq. 6), gather (Eq. 7), run, scatter (Eq. 8), for
the three sites (Eq. 9-11). Works on the parts of any host's layer. No masks for
bypassed queries, no padding: those who bypass are simply not there.
"""

import torch
from torch import Tensor, nn

ORDER = ('self_attn', 'cross_attn', 'ffn')
OF_QUERY = ('query_pos', 'reference_points', 'ref_sine_embed')
OF_IMAGE = ('key', 'value', 'key_pos', 'key_padding_mask', 'valid_ratios')


def gated_sublayers(site: str, ffn_scope: str) -> list[str]:
    """What a bypassed query leaves out."""
    if site == 'self_attn':  # Eq. 9
        return ['self_attn']
    gated = ['cross_attn']  # Eq. 10
    if site == 'layer':  # Eq. 11
        gated = ['self_attn', 'cross_attn']
    if ffn_scope == 'routed':  # Sec. 5.4c: they do not pass the FFN either
        gated = gated + ['ffn']
    return gated


def enters(query: Tensor, position: Tensor, weight: Tensor, bias: Tensor) -> bool:
    """Eq. 5-6 for one query: 'enter' scores at least as high as 'bypass'."""
    encoded = query + position
    enter, bypass = (
        sum(w * x for w, x in zip(row, encoded.tolist(), strict=True)) + b
        for row, b in zip(weight.tolist(), bias.tolist(), strict=True)
    )
    return enter >= bypass


def run_sublayer(
    layer: nn.Module, name: str, rows: list[Tensor], who: list[int], inputs: dict
) -> list[Tensor]:
    """One sub-layer with Add & Norm, for the queries `who` of one image."""
    query = torch.stack([rows[i] for i in who])[None]
    inputs = dict(inputs)
    mask = inputs.pop('self_attn_mask', None)
    for key in OF_QUERY:
        if key in inputs:
            inputs[key] = torch.stack([inputs[key][i] for i in who])[None]
    if name == 'self_attn':
        if mask is not None:
            mask = torch.stack([torch.stack([mask[i, j] for j in who]) for i in who])
        position = inputs['query_pos']
        query = layer.self_attn(
            query=query,
            key=query,
            query_pos=position,
            key_pos=position,
            attn_mask=mask,
        )
    elif name == 'cross_attn':
        query = layer.cross_attn(query=query, **inputs)
    else:
        query = layer.ffn(query)
    return list(layer.norms[ORDER.index(name)](query)[0])


def routed_layer(
    layer: nn.Module,
    query: Tensor,
    inputs: dict,
    *,
    site: str,
    ffn_scope: str,
    enter: Tensor | None = None,
    num_denoising: int = 0,
    concat: bool = False,
) -> Tensor:
    """Output of the layer, (bs, num_denoising + nq, dim).

    Args:
        layer: The host's parts, and `router.projection` if it is to decide.
        inputs: What the host's decoder gives its layer beside the queries.
        enter: (bs, nq) bool, the decision; None asks the router.
        concat: Table 5: entering queries first, the others after them.
    """
    images = []
    for image in range(len(query)):
        rows = list(query[image])
        mine = {
            key: value[image] if key in OF_QUERY else value
            for key, value in inputs.items()
        }
        for key in OF_IMAGE:
            if mine.get(key) is not None:
                mine[key] = mine[key][image : image + 1]
        images.append(
            torch.stack(
                _route_image(
                    layer,
                    rows,
                    mine,
                    gated_sublayers(site, ffn_scope),
                    None if enter is None else enter[image].tolist(),
                    num_denoising,
                    concat,
                )
            )
        )
    return torch.stack(images)


def _route_image(
    layer: nn.Module,
    rows: list[Tensor],
    inputs: dict,
    gated: list[str],
    enter: list[bool] | None,
    num_denoising: int,
    concat: bool,
) -> list[Tensor]:
    everyone = list(range(len(rows)))
    entering: list[int] | None = None
    for name in ORDER:
        if name == gated[0]:
            if enter is None:
                linear = layer.router.projection
                enter = [
                    enters(rows[i], inputs['query_pos'][i], linear.weight, linear.bias)
                    for i in everyone[num_denoising:]
                ]
            chosen = [num_denoising + i for i, yes in enumerate(enter) if yes]
            entering = everyone[:num_denoising] + chosen
        who = entering if name in gated else everyone
        if who:
            for i, row in zip(
                who, run_sublayer(layer, name, rows, who, inputs), strict=True
            ):
                rows[i] = row
        if concat and name == gated[-1]:
            rows = [rows[i] for i in entering] + [
                rows[i] for i in everyone if i not in entering
            ]
    return rows
