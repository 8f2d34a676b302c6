"""One run over the images shows every observer what a run of its own would have."""

from types import SimpleNamespace

import pytest
import torch

from mmdet_qrpaq.analysis.listening import listening
from mmdet_qrpaq.analysis.matching import match
from mmdet_qrpaq.analysis.one_pass import one_pass, spread
from mmdet_qrpaq.analysis.trained_detector import TrainedModel
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.runtime.configs import read_config
from tiny_runs import CLASSES, CONFIG, METHODS, save_untrained, write_dataset


@pytest.fixture(scope='module')
def model(tmp_path_factory) -> TrainedModel:
    """A model with both methods, and five images in batches of two."""
    folder = tmp_path_factory.mktemp('pass')
    root = write_dataset(folder / 'data', num_train=0, num_val=5)
    base, path = folder / 'host.py', folder / 'both.py'
    base.write_text(CONFIG.format(classes=CLASSES, root=str(root)))
    path.write_text(METHODS.format(base=str(base)))
    save_untrained(path, path.with_suffix('.pth'))
    cfg = read_config(str(path), {'val_dataloader.batch_size': 2})
    return TrainedModel('both', str(path), str(path.with_suffix('.pth')), cfg)


class Notes(list):
    """An observer that keeps what `take` makes of a batch."""

    def __init__(self, take, images=None):
        super().__init__()
        self.take, self.images = take, images

    def see(self, batch):
        self.append(self.take(batch))


def len_of_images(batch) -> int:
    return len(batch.images)


def boxes_of(samples) -> list[torch.Tensor]:
    return [sample.pred_instances.bboxes.clone() for sample in samples]


def test_predictions_are_those_of_a_plain_loop(model):
    plain = [s for raw in model.dataloader for s in model.detector.test_step(raw)]
    notes = Notes(lambda batch: (list(batch.images), boxes_of(batch.samples)))
    one_pass(model, [notes])
    assert [images for images, _ in notes] == [[0, 1], [2, 3], [4]]
    seen = [boxes for _, found in notes for boxes in found]
    assert all(map(torch.equal, seen, boxes_of(plain)))


def test_queries_are_matched_as_by_a_run_of_their_own(model):
    notes = Notes(lambda batch: batch.matched)
    one_pass(model, [notes])
    detector = model.detector
    for raw, seen in zip(model.dataloader, notes, strict=True):
        inputs = detector.data_preprocessor(raw, False)
        samples = inputs['data_samples']
        with torch.no_grad():
            features = detector.extract_feat(inputs['inputs'])
            outputs = detector.forward_transformer(features, samples)
            logits, boxes = detector.bbox_head(**outputs)[:2]
            own = match(detector.bbox_head, logits[-1], boxes[-1], samples, False)
        for name in ('scores', 'boxes', 'matched', 'labels', 'truth'):
            assert torch.equal(getattr(seen, name), getattr(own, name)), name
        assert seen.num_objects == own.num_objects


def test_only_wanted_images_are_looked_at(model):
    few, none = Notes(lambda b: list(b.images), [3, 1]), Notes(len, [])
    one_pass(model, [few, none])
    assert (few, none) == ([[1, 3]], [])
    # One that wants all makes the others see their batches among all.
    every = Notes(lambda batch: list(batch.images))
    few.clear()
    one_pass(model, [few, every])
    assert (few, every) == ([[0, 1], [2, 3]], [[0, 1], [2, 3], [4]])


def test_images_are_told_by_their_place_whatever_the_sampler(model):
    shuffled = {'val_dataloader.sampler.shuffle': True, 'val_dataloader.batch_size': 2}
    cfg = read_config(model.config, shuffled)
    other = TrainedModel('both', model.config, model.checkpoint, cfg)
    ids = [model.dataloader.dataset.get_data_info(i)['img_id'] for i in range(5)]
    notes = Notes(
        lambda batch: list(zip(batch.images, batch.samples, strict=True)), [0, 1, 2, 4]
    )
    one_pass(other, [notes, Notes(len_of_images)])
    seen = [pair for batch in notes for pair in batch]
    assert [(place, sample.img_id) for place, sample in seen] == list(enumerate(ids))


def test_a_second_prediction_decodes_alone(model):
    encoded, entered = [], []
    before = (model.detector.encoder, model.detector.pattern_query_generator)
    hooks = [
        module.register_forward_hook(lambda m, *_: encoded.append(type(m).__name__))
        for module in before
    ]

    def again(batch):
        before = [list(map(torch.clone, batch.heard.entered)), batch.samples]
        first, second = boxes_of(batch.samples), boxes_of(batch.again())
        assert all(map(torch.equal, first, second))
        # What was seen at first stays as it was.
        assert all(map(torch.equal, before[0], batch.heard.entered))
        assert before[1] is batch.samples
        entered.append(len(batch.heard.entered))

    one_pass(model, [Notes(again)])
    for hook in hooks:
        hook.remove()
    assert encoded == [type(module).__name__ for module in before] * 3
    assert entered == [2, 2, 2]


def test_what_is_heard_is_what_is_said(model):
    detector, said = model.detector, SimpleNamespace(enter=[], weights=[])
    handles = [
        layer.register_forward_hook(lambda m, *_: said.enter.append(m.trace.enter))
        for layer in detector.routed_layers
    ]
    handles.append(
        detector.pattern_query_generator.weight_generator.register_forward_hook(
            lambda m, i, output: said.weights.append(output)
        )
    )
    heard_all = []
    with listening(detector) as heard:
        for raw in model.dataloader:
            detector.test_step(raw)
            heard_all.append((heard.weights, list(heard.entered), heard.boxes.shape))
    for handle in handles:
        handle.remove()
    for number, (weights, entered, boxes) in enumerate(heard_all):
        assert torch.equal(weights, said.weights[number])
        assert weights.sum(-1).allclose(torch.ones(()))
        for layer, enter in enumerate(entered):
            assert torch.equal(enter, said.enter[2 * number + layer])
            assert enter.shape == boxes[:2] and enter.dtype == torch.bool
    assert [len(entered) for _, entered, _ in heard_all] == [2, 2, 2]


def test_nothing_is_left_behind(model):
    hooks = [len(m._forward_hooks) for m in model.detector.modules()]
    own = set(vars(model.detector))
    with pytest.raises(ZeroDivisionError):
        one_pass(model, [Notes(lambda batch: 1 / 0)])
    assert [len(m._forward_hooks) for m in model.detector.modules()] == hooks
    assert set(vars(model.detector)) == own
    assert 'forward' not in vars(model.detector.backbone)


def test_no_images(model):
    with pytest.raises(ConfigError, match='has no images'):
        one_pass(model, [Notes(len, [])])


@pytest.mark.parametrize(
    ('number', 'total', 'expected'),
    [(3, 5, [0, 2, 4]), (9, 3, [0, 1, 2]), (1, 7, [0]), (2, 7, [0, 6])],
)
def test_spread(number, total, expected):
    assert spread(number, total) == expected
