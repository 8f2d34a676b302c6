"""The graph that is exported says what mmdet's own prediction says."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample

from check_each import check_each
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.export.decisions import ENTER, SELECT, deciding, share_changed
from mmdet_qrpaq.export.graph import DetectionGraph
from mmdet_qrpaq.export.parity import Agreement, agreement, decision_kinds
from mmdet_qrpaq.export.tracing import Recordable, size_tensor, traceable
from tiny_hosts import MASKS, METHODS, build, build_host, build_upstream, host_config

HEIGHT, WIDTH = 97, 130


def image(seed: int = 0) -> np.ndarray:
    """(3, h, w) uint8, RGB."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (3, HEIGHT, WIDTH), dtype=np.uint8)


def predict(detector: torch.nn.Module, pixels: np.ndarray):
    """What mmdet's own pipeline ends with: BGR in, a sample out."""
    shape = (HEIGHT, WIDTH)
    sample = DetDataSample(
        metainfo=dict(img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0))
    )
    bgr = torch.from_numpy(pixels[::-1].copy())
    with torch.no_grad():
        batch = dict(inputs=[bgr], data_samples=[sample])
        return detector.test_step(batch)[0].pred_instances


def detect(graph: DetectionGraph, pixels: np.ndarray) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        return graph.detect(torch.from_numpy(pixels)[None])


def test_detections_are_those_of_mmdet(host):
    def check(name, detector):
        pixels = image()
        theirs = predict(detector.eval(), pixels)
        boxes, scores, labels = (
            found[0] for found in detect(DetectionGraph(detector), pixels)
        )
        assert torch.equal(labels, theirs.labels)
        torch.testing.assert_close(scores, theirs.scores, atol=1e-6, rtol=0)
        torch.testing.assert_close(boxes, theirs.bboxes, atol=1e-3, rtol=0)

    routed = build(
        host_config(
            host, query_routing=dict(METHODS['qr']['query_routing'], capacity=5)
        )
    )
    models = dict(
        upstream=build_upstream(host), paq=build_host(host, 'qrpaq'), capacity=routed
    )
    check_each(check, models.items())


def test_what_an_exporter_follows_is_the_same(host):
    """Attention, sizes and the number of an image's queries, all of them plain."""
    routing = dict(METHODS['qr']['query_routing'], capacity=5)
    model = host_config(host, **dict(METHODS['paq'], query_routing=routing))
    detector = build(model).eval()
    graph = DetectionGraph(detector)
    pixels = torch.from_numpy(np.stack((image(0), image(1))))
    with torch.no_grad():
        expected = graph.detect(pixels)
        classes = {type(module) for module in detector.modules()}
        with traceable(detector):
            found = graph(pixels)
    assert classes == {type(module) for module in detector.modules()}
    assert graph.kinds[-1] == SELECT and graph.kinds.count(ENTER) == 3
    for one, other in zip(found, expected, strict=False):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-5)


def test_masks_are_those_of_the_branch():
    detector = build(host_config('dino', mask_branch=MASKS)).eval()
    graph = DetectionGraph(detector)
    pixels = image()
    expected = predict(detector, pixels).masks
    logits = detect(graph, pixels)[3]
    assert logits.shape == (1, len(expected), 25, 33)
    enlarged = torch.nn.functional.interpolate(
        logits, scale_factor=4, mode='bilinear', align_corners=False
    )
    assert torch.equal(enlarged[0, :, :HEIGHT, :WIDTH] > 0, expected)


def test_a_detector_taught_bgr_gets_bgr():
    detector = build_upstream('conditional').eval()
    detector.data_preprocessor._channel_conversion = False
    detector.data_preprocessor.mean[:] = torch.tensor([1.0, 20.0, 90.0]).view(3, 1, 1)
    pixels = image()
    scores = detect(DetectionGraph(detector), pixels)[1]
    torch.testing.assert_close(scores[0], predict(detector, pixels).scores)


def test_decisions_can_be_imposed():
    """With those of another image, queries of other places are decoded."""
    detector = build_host('dino', 'qrpaq').eval()
    graph = DetectionGraph(detector)
    one, other = (torch.from_numpy(image(seed))[None] for seed in (0, 1))
    with torch.no_grad(), deciding(detector) as theirs:
        graph.detect(other)
    imposed = [made for _, made in theirs.made]
    with torch.no_grad(), deciding(detector, imposed) as own:
        found = graph.detect(one)
    # Labels are what the last decision says of them.
    classes = detector.bbox_head.num_classes
    assert torch.equal(found[2], imposed[-1] % classes)
    # Before anything was imposed, it had its own.
    assert not torch.equal(own.made[0][1], imposed[0])


def test_shares_of_decisions_by_hand():
    one, other = torch.tensor([[4, 1, 2]]), torch.tensor([[2, 4, 9]])
    assert share_changed(SELECT, one, other) == pytest.approx(1 / 3)
    enter = torch.tensor([[True, False, True, True]])
    assert share_changed(ENTER, enter, ~enter) == 1
    assert share_changed(ENTER, enter, torch.ones(1, 4, dtype=torch.bool)) == 0.25
    assert decision_kinds([SELECT, ENTER, SELECT]) == [
        *('proposals', 'routing', 'detections')
    ]


def test_a_runtime_is_judged():
    """Here the runtime is PyTorch with boxes 0.05 pixels to the right."""
    graph = DetectionGraph(build_host('conditional', 'qr').eval())

    def shifted(images: np.ndarray, by: float = 0.05) -> list[np.ndarray]:
        with torch.no_grad():
            boxes, *rest = graph(torch.from_numpy(images))
        return [(boxes + by).numpy(), *(tensor.numpy() for tensor in rest)]

    found = agreement(graph, shifted, [image()])
    assert found.images == 2 and found.score == 0
    assert found.pixels == pytest.approx(0.05, abs=1e-4)
    assert found.changed == dict(routing=0, detections=0)
    found.require('it')
    with pytest.raises(ConfigError, match='it does not say what PyTorch says'):
        agreement(graph, lambda x: shifted(x, 0.5), [image()]).require('it')
    with pytest.raises(ConfigError, match='nothing was written'):
        agreement(graph, lambda x: shifted(x, np.nan), [image()]).require('it')
    assert 'boxes within 0.2 pixels' in str(
        Agreement(2, 0.2, 0.0, 0.5, {'routing': 0.1})
    )


def test_calls_that_would_ask_a_symbol_for_its_number():
    """On numbers they answer as torch does."""

    def check(name, call):
        expected = call()
        with Recordable():
            found = call()
        torch.testing.assert_close(found, expected)

    maps = torch.randn(2, 3, 4, 5)
    check_each(
        check,
        [
            ('shape', lambda: torch._shape_as_tensor(maps)),
            ('linspace', lambda: torch.linspace(0.5, 6.5, 7, dtype=torch.float32)),
            ('sort', lambda: maps[0, 0].sort(dim=1, descending=True, stable=True)),
            (
                'argsort',
                lambda: maps[0, 0].argsort(dim=1, descending=True, stable=True),
            ),
            ('view', lambda: (maps > 0).view(torch.uint8)),
            ('new_tensor', lambda: maps.new_tensor((4, 5))),
            (
                'interpolate',
                lambda: torch.nn.functional.interpolate(maps, scale_factor=(2, 3)),
            ),
        ],
    )
    assert size_tensor((4, 5), torch.int64).tolist() == [4, 5]


def test_what_cannot_be_exported_is_said():
    def check(name, options, sentence):
        config = host_config('conditional', **options.get('method', {}))
        config.data_preprocessor.update(options.get('preprocessor', {}))
        with pytest.raises(ConfigError, match=sentence):
            DetectionGraph(build(config).eval())

    concat = dict(query_routing=dict(METHODS['qr']['query_routing'], regroup='concat'))
    check_each(
        check,
        [
            ('concat', dict(method=concat), "regroup is 'concat', which cannot be"),
            ('padding', dict(preprocessor=dict(pad_size_divisor=32)), 'is 32, and an'),
        ],
    )
    with pytest.raises(ConfigError, match='model.type is Linear, which cannot be'):
        DetectionGraph(torch.nn.Linear(1, 1))
