"""Half the attention and fewer queries, against models that are built that way."""

import copy
import json

import jsonschema
import pytest
import torch
from torch import nn

from mmdet_qrpaq.analysis.command_line import main
from mmdet_qrpaq.analysis.detections.average_precision import evaluate
from mmdet_qrpaq.analysis.detections.section import PRECISION
from mmdet_qrpaq.analysis.measuring import measure
from mmdet_qrpaq.analysis.one_pass import _decoding_alone_again
from mmdet_qrpaq.analysis.queries.ablation import SCHEMA, draw, observe, tables
from mmdet_qrpaq.analysis.queries.fewer_queries import keep_queries
from mmdet_qrpaq.analysis.queries.section import ABLATION
from mmdet_qrpaq.analysis.queries.sublayers import only_sublayers
from mmdet_qrpaq.analysis.trained_detector import TrainedModel
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.records.tables import print_table
from mmdet_qrpaq.runtime.configs import read_config
from tiny_hosts import (
    HOSTS,
    NUM_QUERIES,
    build_host,
    build_upstream,
    make_batch,
    tiny_config,
)
from tiny_hosts import build as build_detector
from tiny_runs import CLASSES, CONFIG, run_tool, save_untrained, write_dataset

# Upstream's only: the plain DETR, whose head is a softmax.
DETR = dict(detr=dict(config='mmdet::detr/detr_r50_8xb2-150e_coco.py'))
ALL = [*HOSTS, *DETR]
# One of each kind of decoder layer, upstream's; with a method, our class of it.
MODELS = [
    *((host, None) for host in ('dino', 'deformable', 'conditional', 'dab', 'detr')),
    ('dino', 'qrpaq'),
    ('conditional', 'qr'),
]


@pytest.fixture(autouse=True)
def plain_detr(monkeypatch):
    monkeypatch.setitem(HOSTS, 'detr', DETR['detr'])


def build(host, method=None):
    detector = build_upstream(host) if method is None else build_host(host, method)
    return detector.eval()


@torch.no_grad()
def outputs(detector):
    """Class logits and boxes of all decoder layers."""
    batch = make_batch([2, 1], shapes=[(64, 96), (48, 64)])
    return detector(batch['inputs'], batch['data_samples'], mode='tensor')[:2]


@torch.no_grad()
def predictions(detector):
    batch = make_batch([2, 1], shapes=[(64, 96), (48, 64)])
    return [sample.pred_instances for sample in detector(**batch, mode='predict')]


def assert_same(found, expected, **tolerance):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **tolerance or dict(rtol=0, atol=0))


class NoAttention(nn.Module):
    """What an attention module is if its attention adds nothing."""

    num_heads = 8

    def forward(self, query, *_, **__):
        return query


@pytest.mark.parametrize(('host', 'method'), MODELS)
def test_sublayers_equal_a_model_without_them(host, method):
    detector = build(host, method)
    before = outputs(detector)
    with only_sublayers(detector, 'both'):
        assert_same(outputs(detector), before)
    for kept, gone in (('self_attn', 'cross_attn'), ('cross_attn', 'self_attn')):
        by_hand = copy.deepcopy(detector)
        for layer in by_hand.decoder.layers:
            setattr(layer, gone, NoAttention())
        expected = outputs(by_hand)
        assert not torch.equal(expected[0], before[0])
        with only_sublayers(detector, kept):
            assert_same(outputs(detector), expected)
    assert_same(outputs(detector), before)


@pytest.mark.parametrize(('host', 'method'), MODELS[-3:])
def test_keeping_all_queries_changes_nothing(host, method):
    detector = build(host, method)
    before, found = outputs(detector), predictions(detector)
    with keep_queries(detector, range(NUM_QUERIES)):
        assert_same(outputs(detector), before)
        with _decoding_alone_again(detector):
            for _ in range(2):
                for one, other in zip(predictions(detector), found, strict=True):
                    assert_same(one.values(), other.values())
    assert not {'pre_decoder', 'forward_encoder'} & set(vars(detector))
    assert 'forward' not in vars(detector.backbone)


def cut_weights(detector, few, kept):
    """Give a model of few queries the weights of a model of many."""
    state = detector.state_dict()
    if 'query_embedding.weight' in state:
        state['query_embedding.weight'] = state['query_embedding.weight'][kept]
    few.load_state_dict(state)
    return few.eval()


@pytest.mark.parametrize(
    ('host', 'kept'),
    [
        *((host, [0, 1, 2, 3, 4]) for host in ALL),
        # On two-stage hosts, three queries are the three best proposals.
        *((host, [1, 4, 9]) for host in ('deformable', 'conditional', 'dab', 'detr')),
    ],
)
def test_fewer_queries_equal_a_host_built_with_fewer(host, kept):
    detector = build(host)
    before, head = outputs(detector), detector.bbox_head
    model = tiny_config(host)
    model.num_queries = len(kept)
    detections = len(kept) if host == 'detr' else 3 * len(kept)
    model.test_cfg.max_per_img = min(10, detections)
    few = cut_weights(detector, build_detector(model), kept)
    with keep_queries(detector, kept):
        assert_same(outputs(detector), outputs(few), rtol=1e-5, atol=1e-5)
        for one, other in zip(predictions(detector), predictions(few), strict=True):
            assert len(one) == min(10, detections)
            assert_same(one.values(), other.values(), rtol=1e-5, atol=1e-4)
    assert_same(outputs(detector), before)
    assert head.test_cfg['max_per_img'] == 10


@pytest.mark.parametrize('method', ['p', 'qr', 'qrpaq'])
def test_patterns_and_routing_keep_fewer_queries(method):
    detector = build('dino', method)
    with only_sublayers(detector, 'cross_attn'):
        before = outputs(detector)
        with keep_queries(detector, [2, 7]):
            found = outputs(detector)
    assert found[0].shape[2] == 2
    if method == 'p':  # a routed query depends on its fellows: their mean margin
        assert_same(found, [x[:, :, [2, 7]] for x in before], rtol=1e-5, atol=1e-5)


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(ConfigError, match='needs a DETR of mmdet .* Linear'):
        keep_queries(nn.Linear(1, 1), [0]).__enter__()
    detector = build('dino')
    del detector.decoder.layers[0].cross_attn
    with pytest.raises(ConfigError, match='do not have self_attn and cross_attn'):
        only_sublayers(detector, 'both').__enter__()


class Metrics:
    def __init__(self, **values):
        self.values = values

    def evaluate(self, size):
        return self.values


def test_ap_is_read_by_its_name():
    names = dict(
        zip(('bbox_mAP', 'bbox_mAP_50', 'bbox_mAP_75'), (0.3, 0.5, 0.4), strict=True)
    )
    metrics = Metrics(**{f'coco/{name}': value for name, value in names.items()})
    assert evaluate(metrics, 1) == dict(ap=0.3, ap50=0.5, ap75=0.4)
    for values, words in (
        ({}, 'no AP of boxes'),
        ({'pascal_voc/mAP': 0.3}, 'no AP of boxes'),
        ({name: -1.0 for name in names}, 'no object to find'),
    ):
        with pytest.raises(ConfigError, match=words):
            evaluate(Metrics(**values), 1)
    with pytest.raises(ConfigError, match='no images'):
        evaluate(metrics, 0)


def ablation(name, ap, two_stage=True, entered=None):
    precision = {k: dict(ap=ap * k / 30, ap50=ap, ap75=ap / 2) for k in (30, 15, 5)}
    return dict(
        name=name,
        num_images=4,
        num_queries=30,
        two_stage=two_stage,
        keep='first',
        sublayers=dict(
            both=precision[30],
            self_attn=dict(ap=0, ap50=0, ap75=0),
            cross_attn=precision[5],
        ),
        fewer_queries=[
            dict(num_queries=k, precision=p, entered=(entered or {}).get(k))
            for k, p in precision.items()
        ],
        capacity=entered
        and [
            dict(capacity=k, precision=p, entered=[float(k)])
            for k, p in precision.items()
        ],
    )


def test_table_and_figure_of_two_models():
    ours = ablation('ours', 0.5, entered={30: [2.0, 3.0]})
    numbers = dict(models=[ablation('host', 0.4), ours])
    jsonschema.validate(numbers, SCHEMA)
    (table,) = tables(numbers)
    assert table.rows[5:] == [
        ['ours', 'both', '30', '-', '50.0', '50.0', '25.0'],
        ['ours', 'self_attn', '30', '-', '0.0', '0.0', '0.0'],
        ['ours', 'cross_attn', '30', '-', '8.3', '50.0', '25.0'],
        ['ours', 'both', '15', '-', '25.0', '50.0', '25.0'],
        ['ours', 'both', '5', '-', '8.3', '50.0', '25.0'],
        ['ours', 'both', '30', '30', '50.0', '50.0', '25.0'],
        ['ours', 'both', '30', '15', '25.0', '50.0', '25.0'],
        ['ours', 'both', '30', '5', '8.3', '50.0', '25.0'],
    ]
    bars, curves = draw(numbers).axes
    assert [round(bar.get_height()) for bar in bars.patches] == [0, 7, 40, 0, 8, 50]
    assert curves.get_xlabel() == 'queries kept: best proposals'
    assert curves.lines[2].get_ydata() == pytest.approx([50, 25, 50 * 5 / 30])
    assert curves.lines[4].get_label() == 'ours: so many may enter a layer'
    assert curves.lines[4].get_ydata() == pytest.approx([50, 25, 50 * 5 / 30])
    one_stage = draw(dict(models=[ablation('host', 0.4, two_stage=False)]))
    assert one_stage.axes[1].get_xlabel() == 'queries kept: first learned ones'


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A tiny model's config and checkpoint; its own best guesses are the objects.

    15 an image: more boxes than ten queries have, so that these cannot find all.
    """
    root = tmp_path_factory.mktemp('ablation')
    dataset = write_dataset(root / 'data')
    config, checkpoint = root / 'tiny.py', root / 'tiny.pth'
    config.write_text(CONFIG.format(classes=CLASSES, root=str(dataset)))
    detector = save_untrained(config, checkpoint)
    cfg = read_config(str(config))
    loader = TrainedModel('tiny', str(config), 'none', cfg).dataloader
    annotations = json.loads((dataset / 'val.json').read_text())
    annotations['annotations'] = []
    for sample in (sample for batch in loader for sample in detector.test_step(batch)):
        found = sample.pred_instances
        for box, label in list(zip(found.bboxes, found.labels, strict=True))[:15]:
            x1, y1, x2, y2 = box.tolist()
            annotations['annotations'].append(
                dict(
                    id=len(annotations['annotations']) + 1,
                    image_id=sample.img_id,
                    category_id=int(label) + 1,
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    area=(x2 - x1) * (y2 - y1),
                    iscrowd=0,
                )
            )
    (dataset / 'val.json').write_text(json.dumps(annotations))
    return config, checkpoint


def ablate(*words):
    main(ABLATION, 'x', [str(word) for word in words])


def test_through_the_command(run, tmp_path, capsys):
    config, checkpoint = run
    out = tmp_path / 'new' / 'ablation.json'
    for keep in ('first', 'used'):
        options = ['--queries', 10, 20, 1, '--keep', keep, '--out', out]
        ablate(config, checkpoint, *options)
        result = json.loads(out.read_text())
        jsonschema.validate(result['numbers'], SCHEMA)
        (model,) = result['numbers']['models']
        assert (model['num_images'], model['num_queries']) == (3, 20)
        assert model['keep'] == keep
        rows, both = model['fewer_queries'], model['sublayers']['both']
        assert [row['num_queries'] for row in rows] == [20, 10, 1]
        # Whatever is kept, 20 of 20 are all of them.
        assert rows[0]['precision'] == both
        assert both['ap'] > rows[1]['precision']['ap'] > rows[2]['precision']['ap']
        printed = capsys.readouterr().out
        for table in tables(result['numbers']):
            print_table(table)
        assert capsys.readouterr().out in printed
    run_tool('test', config, checkpoint, '--work-dir', tmp_path / 'test')
    (scores,) = (tmp_path / 'test').glob('*/*.json')
    ordinary = json.loads(scores.read_text())
    assert both['ap'] == ordinary['coco/bbox_mAP']
    assert both['ap50'] == ordinary['coco/bbox_mAP_50']
    assert out.with_suffix('.png').stat().st_size > 10_000


def test_who_enters_is_counted_by_number_of_queries(run, tmp_path):
    """A router that knows nothing scores all queries alike, and all of them enter."""
    config, checkpoint = tmp_path / 'routed.py', tmp_path / 'routed.pth'
    routing = "dict(schedule=('layer', 'self_attn'))"
    config.write_text(
        f'_base_ = [{str(run[0])!r}]\n'
        f"model = dict(type='QRPaQDINO', query_routing={routing})\n"
    )
    detector = save_untrained(config, checkpoint)
    for layer in detector.routed_layers:
        for parameter in layer.router.parameters():
            nn.init.zeros_(parameter)
    torch.save(dict(state_dict=detector.state_dict()), checkpoint)
    cfg = read_config(str(config))
    model = TrainedModel('qr', str(config), str(checkpoint), cfg)
    numbers, _ = measure(ABLATION, [model], dict(queries=[20, 7], keep='first'))
    (row,) = numbers['models']
    entered = [row['entered'] for row in row['fewer_queries']]
    assert entered == [[20.0, 20.0], [7.0, 7.0]]
    # All queries are decoded, and seven of them enter: as in a test with this capacity.
    whole, limited = row['capacity']
    assert (whole['capacity'], limited['capacity']) == (20, 7)
    assert [x['entered'] for x in row['capacity']] == [[20.0, 20.0], [7.0, 7.0]]
    assert whole['precision'] == row['sublayers']['both']
    cfg.model.query_routing.capacity = 7
    of_seven = TrainedModel('qr', str(config), str(checkpoint), cfg)
    expected, _ = measure(PRECISION, [of_seven], PRECISION.choose())
    assert limited['precision']['ap'] == expected['models'][0]['AP']['AP']
    assert model.detector.routed_layers[0].settings.capacity is None
    # Nothing of it stays on the model.
    assert not {'pre_decoder', 'forward_encoder'} & set(vars(model.detector))
    assert not any(len(module._forward_hooks) for module in model.detector.modules())


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--queries', 21], '21 queries cannot be kept: the model has 20'),
        (['--cfg-options', 'val_evaluator=None'], 'has no evaluator'),
        (['--cfg-options', 'val_evaluator.ann_file=none.json'], 'none.json does not'),
        (['--cfg-options', 'val_evaluator.format_only=True'], 'with format_only gives'),
    ],
)
def test_refusals(run, tmp_path, options, words):
    config, checkpoint = run
    if 'format_only' in str(options):
        options = [*options, f'val_evaluator.outfile_prefix={tmp_path}/x']
    with pytest.raises(ConfigError, match=words):
        ablate(config, checkpoint, *options)


def test_no_queries_are_refused(run, capsys):
    with pytest.raises(SystemExit):
        ablate(*run, '--queries', 0, 5)
    assert '--queries: must be a whole number from 1, got 0' in capsys.readouterr().err
    config, checkpoint = map(str, run)
    model = TrainedModel('tiny', config, checkpoint, read_config(config))
    with pytest.raises(ConfigError, match='0 queries cannot be kept'):
        observe([model], queries=[0, 5], keep='first')


def test_predictions_of_a_test_are_not_replaced(run, tmp_path):
    config, checkpoint = run
    submission = tmp_path / 'mine.bbox.json'
    submission.write_text('[]')
    option = f'val_evaluator.outfile_prefix={tmp_path}/mine'
    out = ['--out', tmp_path / 'out.json', '--queries', 3]
    ablate(config, checkpoint, *out, '--cfg-options', option)
    assert submission.read_text() == '[]'
