"""Deformable-DETR++ is mmdet's two-stage model with DINO's two changes, and no more."""

import pytest
import torch
from mmdet.models.detectors import DeformableDETR

from leaves import read
from mmdet_qrpaq.errors import ConfigError
from tiny_hosts import (
    build,
    build_upstream,
    host_config,
    make_batch,
    run_loss,
    tiny_config,
    total_loss,
)


def both():
    """Our model and upstream's with the same weights, no dropout in either."""
    ours = build_upstream('deformable_pp')
    config = tiny_config('deformable_pp')
    config.type = 'DeformableDETR'
    theirs = build(config)
    missing, unexpected = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert (missing, unexpected) == ([], ['query_embedding.weight'])
    return ours, theirs


def inputs_of_decoder(detector, batch, **changes):
    """What `pre_decoder` hands over, and what `forward_decoder` makes of it."""
    data = detector.data_preprocessor(batch, detector.training)
    features = detector.extract_feat(data['inputs'])
    encoder_inputs, decoder_inputs = detector.pre_transformer(
        features, data['data_samples']
    )
    made, _ = detector.pre_decoder(**detector.forward_encoder(**encoder_inputs))
    decoder_inputs.update(dict(made, **changes))
    return decoder_inputs, detector.forward_decoder(**decoder_inputs)


@pytest.mark.parametrize('training', [False, True])
def test_all_but_the_content_is_upstreams(training):
    (ours, theirs), batch = both(), make_batch([2, 1], [(64, 96), (48, 80)])
    ours.train(training), theirs.train(training)
    inputs, outputs = inputs_of_decoder(ours, batch)
    content = inputs['query']
    assert torch.equal(content[0], ours.query_embedding.weight)
    assert torch.equal(content[1], ours.query_embedding.weight)

    expected_inputs, expected = inputs_of_decoder(theirs, batch, query=content)
    for name in ('query_pos', 'reference_points', 'memory'):
        assert torch.equal(inputs[name], expected_inputs[name]), name
    assert torch.equal(outputs['hidden_states'], expected['hidden_states'])
    assert len(outputs['references']) == len(expected['references']) == 4
    for found, value in zip(outputs['references'], expected['references'], strict=True):
        assert torch.equal(found, value)
    predicted, others = ours.bbox_head(**outputs), theirs.bbox_head(**expected)
    for found, value in zip(predicted, others, strict=True):
        assert torch.equal(found, value)


@pytest.mark.parametrize('layer, before', [(0, None), (1, 0), (2, 1)])
def test_the_boxes_of_a_layer_teach_the_step_before_it(layer, before):
    (ours, theirs), batch = both(), make_batch([2, 1])
    for detector, forward_twice in ((ours, True), (theirs, False)):
        branches = detector.bbox_head.reg_branches
        _, outputs = inputs_of_decoder(detector.train(), batch)
        boxes = detector.bbox_head(**outputs)[1][layer]
        boxes.sum().backward()
        grads = [branch[-1].bias.grad for branch in branches]
        taught = {i for i, grad in enumerate(grads) if grad is not None and grad.any()}
        expected = {layer} | ({before} if forward_twice and layer else set())
        assert taught == expected


def test_it_trains_all_that_it_has():
    detector = build_upstream('deformable_pp').train()
    total_loss(run_loss(detector, make_batch([2, 1]))).backward()
    trained = [(n, p) for n, p in detector.named_parameters() if p.requires_grad]
    assert not [name for name, parameter in trained if parameter.grad is None]
    assert detector.query_embedding.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('setting', ['with_box_refine', 'as_two_stage'])
def test_other_stages_are_refused(setting):
    config = host_config('deformable_pp')
    config[setting] = False
    with pytest.raises(ConfigError, match='with_box_refine or as_two_stage is False'):
        build(config)


def test_the_leaf_has_no_dropout_and_a_wide_ffn():
    model = read('deformable_detr_pp_r50_12e').model
    assert issubclass(type(build_upstream('deformable_pp')), DeformableDETR)
    for part in (model.encoder, model.decoder):
        assert part.layer_cfg.ffn_cfg.feedforward_channels == 2048
    dropouts = [
        module.p
        for module in build_upstream('deformable_pp').modules()
        if isinstance(module, torch.nn.Dropout)
    ]
    assert dropouts and set(dropouts) == {0.0}
