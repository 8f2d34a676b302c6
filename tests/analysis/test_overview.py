"""What the models and the data are, and AP by size and class."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.structures import InstanceData

from mmdet_qrpaq.analysis import command_line
from mmdet_qrpaq.analysis.detections import overview, precision
from mmdet_qrpaq.analysis.detections.section import OVERVIEW, PRECISION
from mmdet_qrpaq.analysis.measuring import measure
from mmdet_qrpaq.analysis.trained_detector import TrainedModel
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.records.tables import print_table
from mmdet_qrpaq.runtime.configs import read_config
from tiny_runs import CLASSES, CONFIG, save_untrained, write_dataset


@pytest.fixture(scope='module')
def host(tmp_path_factory):
    """Config and checkpoint of a tiny host with random weights."""
    folder = tmp_path_factory.mktemp('overview')
    root = write_dataset(folder / 'data', num_train=0, num_val=3)
    config = folder / 'host.py'
    config.write_text(CONFIG.format(classes=CLASSES, root=str(root)))
    save_untrained(config, config.with_suffix('.pth'))
    return config


@pytest.fixture
def model(host):
    cfg = read_config(str(host))
    return TrainedModel('host', str(host), str(host.with_suffix('.pth')), cfg)


def test_there_is_no_ap_of_some_of_the_evaluators_images(model):
    model.cfg.val_dataloader.dataset.indices = 2
    with pytest.raises(ConfigError, match='knows 3 images and the data loader 2'):
        precision.observe([model])


def test_a_class_that_never_occurs_is_named_and_has_no_ap(model, tmp_path):
    annotations = json.loads(Path(model.dataloader.dataset.ann_file).read_text())
    squares = [a for a in annotations['annotations'] if a['category_id'] == 1]
    path = tmp_path / 'squares.json'
    path.write_text(json.dumps(annotations | dict(annotations=squares)))
    cfg = model.cfg
    cfg.val_dataloader.dataset.ann_file = cfg.val_evaluator.ann_file = str(path)
    model = TrainedModel('host', model.config, model.checkpoint, cfg)
    numbers, _ = measure(PRECISION, [model], {})
    (row,) = numbers['models']
    assert row['classes']['disc'] is None and row['classes']['square'] is not None
    assert row['AP']['APm'] is None and row['AP']['APs'] is not None
    _, data = overview.tables(overview.measure([model])[0])
    assert data.caption == 'Data of host: 3 objects in 3 images; never there: disc'


def test_a_model_that_finds_nothing_has_no_precision_where_there_are_objects(host):
    """The other model's numbers stay, and what does not occur has none."""
    silent, other = (
        TrainedModel(
            n, str(host), str(host.with_suffix('.pth')), read_config(str(host))
        )
        for n in ('silent', 'other')
    )
    silent.detector.predict = predict_nothing
    numbers, _ = measure(PRECISION, [silent, other], {})
    first, second = numbers['models']
    nothing = dict(AP=0, AP50=0, AP75=0, APs=0, APm=None, APl=None)
    assert first['AP'] == nothing and first['AP_with_nms'] == 0
    assert first['classes'] == dict(square=0, disc=0)
    # COCO has none of the same.
    empty = [key for key, value in second['AP'].items() if value is None]
    assert empty == ['APm', 'APl']


def predict_nothing(inputs, samples, rescale=True):
    for sample in samples:
        sample.pred_instances = InstanceData(
            bboxes=torch.zeros(0, 4),
            scores=torch.zeros(0),
            labels=torch.zeros(0, dtype=torch.long),
        )
    return samples


def test_an_evaluator_without_ap_of_boxes_is_told(model):
    model.cfg.val_evaluator = dict(type='VOCMetric', metric='mAP', eval_mode='area')
    with pytest.raises(ConfigError, match='gives no AP of boxes: it is no CocoMetric'):
        measure(PRECISION, [model], {})


def test_an_evaluator_without_ap_of_100_detections_is_refused(model):
    model.cfg.val_evaluator.proposal_nums = (300, 500, 1000)
    with pytest.raises(ConfigError, match=r'\[300, 500, 1000\], and AP is .* put 100'):
        measure(PRECISION, [model], {})


def test_classes_of_different_data_are_not_mixed_up():
    def row(name, num_images, **classes):
        ap = dict.fromkeys(('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl'), 0.5)
        more = dict(num_images=num_images, AP_with_nms=0.5)
        return dict(name=name, AP=ap, classes=classes, **more)

    models = [row('a', 3, cat=0.1, dog=0.2), row('b', 3, cat=0.3, dog=0.4)]
    _, both = precision.tables(dict(models=models))
    assert both.columns == ['model', 'cat', 'dog'] and len(both.rows) == 2
    axes = precision.draw(dict(models=models)).axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()][6:] == ['cat', 'dog']

    models.append(row('c', 4, dog=0.5, cat=0.6))
    _, both, other = precision.tables(dict(models=models))
    assert len(both.rows) == 2
    assert other.columns == ['model', 'dog', 'cat']
    assert [cells[0] for cells in other.rows] == ['c']
    axes = precision.draw(dict(models=models)).axes[0]
    assert len(axes.get_xticklabels()) == 6
    assert axes.get_title(loc='left') == '3 and 4 images'


@pytest.mark.parametrize('section', [OVERVIEW, PRECISION])
def test_what_is_shown_is_what_is_written(host, section, tmp_path, capsys):
    out = tmp_path / 'x.json'
    words = [host, host.with_suffix('.pth'), '--out', out]
    command_line.main(section, '', list(map(str, words)))
    printed = capsys.readouterr().out
    numbers = json.loads(out.read_text())['numbers']
    for table in section.work.tables(numbers):
        print_table(table)
    assert capsys.readouterr().out.strip() in printed
    assert out.with_suffix('.png').exists() == bool(section.shows)
