"""Which models run which deformable attention, and that mmcv stays as it is."""

import copy
import inspect
import pickle
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from mmdet.registry import HOOKS, MODELS

from leaves import read
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.ops import EmbeddingBagAttention, set_cpu_attention
from mmdet_qrpaq.ops.attention import widened
from operators_run import Operators
from tiny_hosts import (
    MASKS,
    METHODS,
    REPOSITORY,
    build,
    build_host,
    build_upstream,
    host_config,
    make_batch,
)

OTHER = dict(embedding_bag='grid_sample', grid_sample='embedding_bag')


def attentions(model):
    """All deformable attention, of encoder and decoder."""
    return [m for m in model.modules() if isinstance(m, MultiScaleDeformableAttention)]


def operators(model) -> set[str]:
    """Names of what a prediction runs."""
    with torch.no_grad(), Operators() as ran:
        model.eval()(**make_batch([2, 1]))
    return ran.names


def runs(model) -> str:
    """The operation that a prediction samples by."""
    names = operators(model)
    found = [
        choice
        for choice, name in (
            ('embedding_bag', '_embedding_bag'),
            ('grid_sample', 'grid_sampler_2d'),
        )
        if any(other.startswith(name) for other in names)
    ]
    assert len(found) == 1, names
    return found[0]


@pytest.mark.parametrize(
    'options',
    [
        dict(METHODS['none'], cpu_attention='embedding_bag'),
        METHODS['qrpaq'],
        dict(METHODS['paq'], mask_branch=MASKS),
    ],
    ids=['host', 'qrpaq', 'masks'],
)
@pytest.mark.parametrize('name', ['dino', 'deformable_refine', 'deformable_pp'])
def test_all_of_a_detector_of_ours_runs_it(name, options):
    detector = build(host_config(name, **options))
    found = attentions(detector)
    assert len(found) == 4  # 1 encoder layer and 3 decoder layers
    assert {type(attention) for attention in found} == {EmbeddingBagAttention}
    assert runs(detector) == 'embedding_bag'


def test_a_host_without_deformable_attention_has_nothing_to_choose():
    for cpu_attention in OTHER:
        assert not attentions(build(host_config('dab', cpu_attention=cpu_attention)))


def test_a_setting_that_does_not_exist():
    with pytest.raises(
        ConfigError, match="cpu_attention is 'bag': use 'embedding_bag'"
    ):
        build(host_config('dino', cpu_attention='bag'))
    with pytest.raises(ConfigError, match='FasterAttentionHook.cpu_attention'):
        HOOKS.build(dict(type='FasterAttentionHook', cpu_attention=True))


def test_one_line_for_any_detector_and_back():
    detector = build_upstream('dino')
    keys = list(detector.state_dict())
    set_cpu_attention(detector)
    assert runs(detector) == 'embedding_bag'
    assert list(detector.state_dict()) == keys
    set_cpu_attention(detector, 'grid_sample')
    assert runs(detector) == 'grid_sample'
    hook = HOOKS.build(dict(type='FasterAttentionHook'))
    hook.before_run(SimpleNamespace(model=detector))
    assert runs(detector) == 'embedding_bag'


def test_a_detector_that_is_no_host():
    """Mask2Former's encoder, as its own config describes it."""
    torch.manual_seed(0)
    config = read('mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py')
    decoder = copy.deepcopy(config.model.panoptic_head.pixel_decoder)
    decoder.encoder.num_layers = 2
    strides = dict(in_channels=[8, 8, 8, 8], strides=[4, 8, 16, 32])
    decoder = MODELS.build(
        dict(decoder, **strides, feat_channels=256, out_channels=256)
    )
    decoder.init_weights()
    levels = [torch.randn(2, 8, 32 // 2**i, 48 // 2**i) for i in range(4)]
    expected, _ = decoder.eval()(levels)
    set_cpu_attention(decoder)
    with Operators() as ran:
        found, _ = decoder(levels)
    assert len(attentions(decoder)) == 2 and 'grid_sampler_2d' not in ran.names
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_models_side_by_side_keep_their_own_also_in_threads():
    mmcvs = dict(vars(sys.modules[MultiScaleDeformableAttention.__module__]))
    models = dict(
        embedding_bag=build_host('deformable'), grid_sample=build_upstream('deformable')
    )
    for _ in range(2):
        for choice, model in models.items():
            assert runs(model) == choice

    found = {}

    def run(choice):
        found[choice] = [runs(models[choice]) for _ in range(5)]

    threads = [threading.Thread(target=run, args=(choice,)) for choice in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {choice: [choice] * 5 for choice in models}
    assert vars(sys.modules[MultiScaleDeformableAttention.__module__]) == mmcvs


def test_a_class_of_somebody_else_is_left_alone():
    class Theirs(MultiScaleDeformableAttention):
        pass

    modules = torch.nn.ModuleList([Theirs(), MultiScaleDeformableAttention()])
    set_cpu_attention(modules)
    assert [type(module) for module in modules] == [Theirs, EmbeddingBagAttention]


@pytest.mark.parametrize(
    'copied', [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_copies_run_what_their_model_runs(copied):
    for cpu_attention in OTHER:
        attention = torch.nn.ModuleList([MultiScaleDeformableAttention()])
        set_cpu_attention(attention, cpu_attention)
        other = copied(attention)
        assert type(other[0]) is type(attention[0])
        set_cpu_attention(other, OTHER[cpu_attention])
        assert type(other[0]) is not type(attention[0])


def call(module, bs=2, **others):
    """A call as an encoder makes it."""
    torch.manual_seed(0)
    sizes = torch.tensor([(4, 6), (2, 3)])
    return module(
        torch.randn(bs, 5, 32),
        value=torch.randn(bs, 30, 32),
        reference_points=torch.rand(bs, 5, 2, 2),
        spatial_shapes=sizes,
        level_start_index=torch.tensor([0, 24]),
        **others,
    )


def make_module():
    torch.manual_seed(0)
    module = MultiScaleDeformableAttention(32, 4, 2, batch_first=True, dropout=0.0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


@pytest.mark.parametrize(
    'others',
    [
        dict(),
        dict(query_pos=torch.ones(2, 5, 32)),
        dict(key_padding_mask=torch.arange(30).expand(2, 30) > 20),
        dict(identity=torch.ones(2, 5, 32)),
        dict(residual=torch.ones(2, 5, 32)),  # the old name, which mmcv still takes
    ],
    ids=lambda others: ''.join(others),
)
def test_everything_but_the_operation_is_mmcvs(others):
    module = make_module()
    expected = call(module, **others)
    set_cpu_attention(module)
    with Operators() as ran:
        found = call(module, **others)
    assert 'grid_sampler_2d' not in ran.names
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_compiled_it_is_the_hosts():
    module = make_module()
    expected = call(module)
    set_cpu_attention(module)
    graphs = []

    def backend(graph, _):
        graphs.append(graph.code)
        return graph

    found = call(torch.compile(module, backend=backend))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert graphs and 'embedding_bag' not in ''.join(graphs)


def test_importing_changes_nothing_of_mmcv():
    code = """
import mmcv.ops
from mmcv.ops import multi_scale_deform_attn as module
owners = (mmcv.ops, module, module.MultiScaleDeformableAttention)
before = [dict(vars(owner)) for owner in owners]
import mmdet_qrpaq.ops
for owner, names in zip(owners, before):
    for name, value in names.items():
        assert vars(owner)[name] is value, (owner, name)
"""
    subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code],
        check=True,
        env={'PYTHONPATH': str(REPOSITORY)},
    )


def test_bfloat16_is_widened_for_a_kernel_that_has_none():
    def kernel(value, factor):
        assert value.dtype == torch.float32
        return value * factor

    value = torch.tensor([1.5], dtype=torch.bfloat16, requires_grad=True)
    output = widened(kernel)(value, 2)
    output.sum().backward()
    assert output.dtype == torch.bfloat16 and output.item() == 3
    assert value.grad.dtype == torch.bfloat16 and value.grad.item() == 2
    assert widened(lambda x: x * 2)(torch.ones(1, dtype=torch.half)).dtype == torch.half


def test_mmcvs_kernel_is_given_what_it_knows():
    names = inspect.unwrap(EmbeddingBagAttention._forward).__globals__
    kernel = names['MultiScaleDeformableAttnFunction'].apply
    assert kernel.__closure__[0].cell_contents == MultiScaleDeformableAttnFunction.apply
