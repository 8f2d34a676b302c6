"""The benchmark of query routing: what it lets enter, what it records and says."""

import json
import sys

import pytest
import torch

from benchmarks import speed_tables
from benchmarks.speed import routing, timing
from tiny_hosts import NUM_QUERIES, build_host, build_upstream


@pytest.fixture
def pair():
    """A small host, and its routed twin with the same weights."""
    host, routed = build_upstream('deformable'), build_host('deformable', 'qr')
    routed.load_state_dict(host.state_dict(), strict=False)
    return host.eval(), routed.eval()


def test_the_paper_counts_are_those_of_its_table_2():
    found = {k: timing.entering(v, 300) for k, v in timing.SHARES['paper'].items()}
    assert found == dict(self_attn=63, cross_attn=183, layer=142)


@pytest.mark.parametrize('count', [1, 7, 12])
def test_the_policy_lets_exactly_so_many_enter_whatever_the_scores(count):
    draw = torch.rand(3, 12)
    policy = timing.RandomQueries(count, draw)
    enter = policy(torch.randn(3, 12, 2)).enter
    assert enter.sum(1).tolist() == [count] * 3
    assert torch.equal(enter, policy(torch.randn(3, 12, 2)).enter)
    for image, entered in zip(draw, enter, strict=True):
        assert set(image[entered].tolist()) == set(image.topk(count).values.tolist())


def test_everything_is_recorded(pair):
    counted = []
    result = timing.measure(
        *pair, torch.randn(2, 3, 64, 96), 2, 2, lambda: counted.append(1)
    )
    assert len(counted) == timing.steps(2, 2)
    json.dumps(result)
    assert result['batch'] == 2
    # Strides 8, 16, 32, 64 of 64 x 96 pixels.
    assert result['memory_tokens'] == 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2
    assert result['largest_difference'] <= timing.TOLERANCE
    found = [(entry['share'], entry['executor']) for entry in result['variants']]
    assert len(found) == len(set(found)) == len(timing.SHARES) * 3
    rest = result['rest_seconds']['median']
    host = result['host_decoder_seconds']['median']
    for entry in [result['one_query'], *result['variants']]:
        low, high = entry['decoder_ratio']['quartiles']
        assert 0 < low <= entry['decoder_ratio']['median'] <= high
        whole = rest + entry['decoder_seconds']['median']
        assert entry['whole_ratio'] == pytest.approx(whole / (rest + host))


@pytest.mark.parametrize('executor', timing.EXECUTORS)
def test_a_variant_routes_as_many_as_it_says(pair, executor):
    _, routed = pair
    variant = timing.Variant('paper', executor)
    timing.set_variant(routed, variant, 2, torch.device('cpu'))
    shares = dict(self_attn=63, cross_attn=183, layer=142)
    for layer in routed.routed_layers:
        count = round(shares[layer.site] * NUM_QUERIES / 300)
        assert layer.settings.capacity == (count if 'capacity' in executor else None)
        assert executor.startswith(layer.settings.executor)
        query = torch.randn(2, NUM_QUERIES, 256)
        _, decision = layer.decide(query, query)
        assert decision.enter.sum(1).tolist() == [count, count]


def test_nothing_is_timed_if_the_results_differ(pair):
    host, routed = pair
    with torch.no_grad():
        routed.decoder.layers[-1].norms[-1].bias.add_(1)
    with pytest.raises(RuntimeError, match='nothing was timed'):
        timing.measure(host, routed, torch.randn(1, 3, 64, 96), 2, 2)


def test_the_table_says_where_routing_does_not_pay():
    def timed(share, executor, low, median, high):
        ratio = dict(median=median, quartiles=[low, high])
        return dict(
            share=share, executor=executor, decoder_ratio=ratio, whole_ratio=0.97
        )

    def run(batch):
        return dict(
            batch=batch,
            host_decoder_seconds=dict(median=0.25),
            rest_seconds=dict(median=1.0),
            one_query=timed('', '', 0.2, 0.3, 0.4),
            variants=[
                timed('paper', 'dense', 1.1, 1.2, 1.3),
                timed('paper', 'gather', 0.6, 0.7, 0.8),
                timed('100 %', 'gather', 0.9, 1.01, 1.05),
            ],
        )

    runs = [run(1), run(4)]
    result = dict(
        settings=dict(
            size=[64, 96], device='cpu', threads=2, repeats=3, whole_repeats=2
        ),
        measured=dict(deformable=dict(queries=300, runs=runs)),
        environment=dict(
            hardware=dict(device='a CPU', cores=2),
            versions=dict(torch='2'),
            date='today',
            commit='abc',
            dirty=True,
        ),
    )
    table = speed_tables.routing_table(result)
    assert '| all (host) | none | 250 ms | 250 ms | 1250 ms | 1250 ms |' in table
    assert (
        '| paper | gather | 0.70 (0.60-0.80) | 0.70 (0.60-0.80) | 0.970 | 0.970 |'
        in table
    )
    assert speed_tables.where_it_pays(runs) in table
    assert speed_tables.where_it_pays(runs) == (
        'Slower than the host, so routing does not pay: `dense` at paper (batch 1), '
        'paper (batch 4). Neither clearly slower nor faster (its quartiles hold 1): '
        '`gather` at 100 % (batch 1), 100 % (batch 4).'
    )
    del runs[0]['variants'][2], runs[0]['variants'][0]
    assert (
        speed_tables.where_it_pays(runs[:1])
        == 'Every variant makes the decoder faster.'
    )


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--repeats', '1'], 'at least 2'),
        (['--size', '0', '9'], 'must be positive'),
        (['--batches', '0'], 'must be positive'),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['routing.py', *arguments])
    with pytest.raises(SystemExit) as stopped:
        routing.parse()
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
