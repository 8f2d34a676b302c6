"""Time the decoder of a host with and without query routing, interleaved.

Called by `routing.py`, which has the protocol.
"""

import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from mmdet.models import DetectionTransformer
from mmdet.structures import DetDataSample
from torch import Tensor

from mmdet_qrpaq.analysis.cost.timing import interleave, stopwatch, summary
from mmdet_qrpaq.routing import Decision
from mmdet_qrpaq.routing.policies import limit_to_capacity, score_margin
from mmdet_qrpaq.runtime.building import build_untrained
from mmdet_qrpaq.runtime.configs import read_config

# Share of the queries that enter at each site; the first are of QR-DETR Table 2.
SHARES = {
    'paper': dict(self_attn=63 / 300, cross_attn=183 / 300, layer=142 / 300),
    **{
        f'{percent} %': dict.fromkeys(
            ('self_attn', 'cross_attn', 'layer'), percent / 100
        )
        for percent in (25, 50, 75, 100)
    },
}
EXECUTORS = ('dense', 'gather', 'gather(capacity)')
TOLERANCE = 1e-4
WARM_UP = 2
# Inputs of a decoder with one entry per query.
BY_QUERY = ('query', 'query_pos', 'reference_points')


class Variant(NamedTuple):
    """How many queries enter, by name of `SHARES`, and what runs them."""

    share: str
    executor: str


class RandomQueries:
    """A policy that lets exactly `count` random queries of each image enter.

    Reads the scores as a real one does.

    Args:
        draw: (bs, nq), different numbers; the highest enter.
    """

    def __init__(self, count: int, draw: Tensor) -> None:
        self.count = count
        self.draw = draw

    def __call__(self, scores: Tensor) -> Decision:
        margin = score_margin(scores) * 0 + self.draw
        everyone = Decision(torch.ones_like(margin, dtype=bool), margin, margin)
        return limit_to_capacity(everyone, self.count)


def build_pair(
    config: str, detector: str, device: str
) -> tuple[DetectionTransformer, DetectionTransformer]:
    """Return the host and the routed model, which has the host's weights.

    Args:
        config: Of the host.
        detector: The routed model's type.
    """
    pair = []
    for changes in ({}, dict(type=detector, query_routing={})):
        cfg = read_config(config)
        cfg.model.update(changes)
        pair.append(build_untrained(cfg))
    host, routed = pair
    missing, _ = routed.load_state_dict(host.state_dict(), strict=False)
    assert all('.router.' in key for key in missing), missing
    return host.to(device).eval(), routed.to(device).eval()


def entering(share: float, num_queries: int) -> int:
    """Return a share in whole queries."""
    return max(1, round(share * num_queries))


def set_variant(
    routed: DetectionTransformer, variant: Variant, batch: int, device: torch.device
) -> None:
    """Route with the executor and the number of queries of the variant.

    Each layer has its own draw, the same in every variant.
    """
    executor, _, capacity = variant.executor.partition('(')
    generator = torch.Generator().manual_seed(0)
    for layer in routed.routed_layers:
        count = entering(SHARES[variant.share][layer.site], routed.num_queries)
        draw = torch.rand(batch, routed.num_queries, generator=generator)
        layer.settings = replace(
            layer.settings,
            policy=RandomQueries(count, draw.to(device)),
            executor=executor,
            capacity=count if capacity else None,
        )


def run_whole(
    host: DetectionTransformer, inputs: Tensor, samples: list[DetDataSample]
) -> tuple[float, dict]:
    """Return seconds of a prediction outside the decoder, and the decoder's inputs."""
    seen = {}

    def forward_decoder(**decoder_inputs) -> dict:
        seen['inputs'] = decoder_inputs
        seen['seconds'], outputs = stopwatch(
            type(host).forward_decoder, host, **decoder_inputs
        )
        return outputs

    host.forward_decoder = forward_decoder
    try:
        seconds, _ = stopwatch(host.predict, inputs, samples, rescale=False)
    finally:
        del host.forward_decoder
    return seconds - seen['seconds'], seen['inputs']


def last_queries(detector: DetectionTransformer, decoder_inputs: dict) -> Tensor:
    """Return the decoder's last hidden states."""
    return detector.forward_decoder(**decoder_inputs)['hidden_states'][-1]


def check_equal(
    host: DetectionTransformer,
    routed: DetectionTransformer,
    decoder_inputs: dict,
) -> float:
    """Return the largest difference of executors, and to the host where all enter.

    Raises:
        RuntimeError: If it is more than `TOLERANCE`: there is nothing to compare then.
    """
    largest = 0.0
    memory = decoder_inputs['memory']
    for share in SHARES:
        results = []
        for executor in EXECUTORS:
            set_variant(routed, Variant(share, executor), len(memory), memory.device)
            results.append(last_queries(routed, decoder_inputs))
        if share == '100 %':
            results.append(last_queries(host, decoder_inputs))
        for result in results[1:]:
            largest = max(largest, (result - results[0]).abs().max().item())
    if not largest <= TOLERANCE:  # NaN as well
        raise RuntimeError(f'the executors differ by {largest:.2g}: nothing was timed.')
    return largest


def steps(repeats: int, whole_repeats: int) -> int:
    """Return steps of `measure`, warm-up included."""
    return WARM_UP + repeats + 1 + whole_repeats


@torch.inference_mode()
def measure(
    host: DetectionTransformer,
    routed: DetectionTransformer,
    inputs: Tensor,
    repeats: int,
    whole_repeats: int,
    advance: Callable[[], object] = lambda: None,
) -> dict:
    """Time all variants on one batch.

    Args:
        inputs: (bs, 3, h, w), normalised images without padding.
        repeats: Of the decoders, at least 2.
        whole_repeats: Of the rest of the model, at least 2.
        advance: Called after each of `steps(repeats, whole_repeats)`.
    """
    shape = tuple(inputs.shape[-2:])
    meta = dict(img_shape=shape, batch_input_shape=shape, ori_shape=shape)
    samples = [DetDataSample(metainfo=meta) for _ in inputs]
    rest = []
    for repeat in range(1 + whole_repeats):
        seconds, decoder_inputs = run_whole(host, inputs, samples)
        if repeat > 0:  # the first one warms up
            rest.append(seconds)
        advance()
    difference = check_equal(host, routed, decoder_inputs)

    one_query = {
        name: value[:, :1] if name in BY_QUERY else value
        for name, value in decoder_inputs.items()
    }
    variants = [Variant(share, executor) for share in SHARES for executor in EXECUTORS]
    turns = ['host', 'one_query', *variants]
    seconds = {turn: [] for turn in turns}
    for repeat, order in enumerate(interleave(turns, WARM_UP + repeats)):
        for turn in order:
            detector, given = host, decoder_inputs
            if turn == 'one_query':
                given = one_query
            elif turn != 'host':
                detector = routed
                set_variant(routed, turn, len(inputs), inputs.device)
            spent, _ = stopwatch(detector.forward_decoder, **given)
            if repeat >= WARM_UP:
                seconds[turn].append(spent)
        advance()

    rest_median = statistics.median(rest)
    whole_host = rest_median + statistics.median(seconds['host'])

    def against_host(turn: str | Variant) -> dict:
        ratios = [a / b for a, b in zip(seconds[turn], seconds['host'], strict=True)]
        whole = rest_median + statistics.median(seconds[turn])
        return dict(
            decoder_seconds=summary(seconds[turn]),
            decoder_ratio=summary(ratios),
            whole_ratio=whole / whole_host,
        )

    return dict(
        batch=len(inputs),
        memory_tokens=decoder_inputs['memory'].shape[1],
        largest_difference=difference,
        rest_seconds=summary(rest),
        host_decoder_seconds=summary(seconds['host']),
        one_query=against_host('one_query'),
        variants=[dict(turn._asdict(), **against_host(turn)) for turn in variants],
    )
