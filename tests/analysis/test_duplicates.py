"""AP with duplicates suppressed, on detections whose AP is known."""

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmdet_qrpaq.analysis.detections import duplicates, precision
from mmdet_qrpaq.analysis.detections.average_precision import (
    build_evaluator,
    copy_evaluator,
)
from mmdet_qrpaq.analysis.detections.duplicates import NmsObserver, suppress_duplicates
from mmdet_qrpaq.analysis.listening import Heard
from mmdet_qrpaq.analysis.one_pass import SeenBatch
from mmdet_qrpaq.analysis.trained_detector import TrainedModel
from mmdet_qrpaq.runtime.configs import read_config
from tiny_runs import CLASSES, CONFIG, write_dataset


def detections(*rows: tuple) -> DetDataSample:
    """Rows are (box, score, label)."""
    sample = DetDataSample()
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor([row[0] for row in rows]).float().reshape(-1, 4),
        scores=torch.tensor([row[1] for row in rows]),
        labels=torch.tensor([row[2] for row in rows], dtype=torch.long),
    )
    return sample


def test_by_hand(monkeypatch):
    box, shifted, far = [0, 0, 10, 10], [0, 1, 10, 10], [20, 20, 30, 30]
    # IoU of the first two is 0.9; the half overlaps the box by 0.5, no duplicate yet.
    half = [0, 5, 10, 10]
    sample = detections(
        (shifted, 0.8, 0), (box, 0.9, 0), (box, 0.7, 1), (far, 0.1, 0), (half, 0.6, 0)
    )
    (left,) = suppress_duplicates([sample])
    assert left.pred_instances.scores.tolist() == pytest.approx([0.9, 0.7, 0.6, 0.1])
    assert left.pred_instances.labels.tolist() == [0, 1, 0, 0]
    assert len(sample.pred_instances) == 5  # theirs is not touched
    monkeypatch.setattr(duplicates, 'NMS_IOU', 0.4)
    (fewer,) = suppress_duplicates([sample])
    assert fewer.pred_instances.scores.tolist() == pytest.approx([0.9, 0.7, 0.1])


def test_no_detections():
    (left,) = suppress_duplicates([detections()])
    assert len(left.pred_instances) == 0


def finds_thrice(batch: dict) -> list[DetDataSample]:
    """Report every object three times, the copies as surely as the first."""
    for sample in batch['data_samples']:
        truth = sample.gt_instances
        factor = torch.tensor(sample.scale_factor).repeat(2)
        boxes = truth.bboxes.tensor / factor
        sample.pred_instances = InstanceData(
            bboxes=boxes.repeat(3, 1),
            scores=torch.full((3 * len(boxes),), 0.5),
            labels=truth.labels.repeat(3),
        )
    return batch['data_samples']


def test_a_model_that_only_repeats_itself_is_perfect_with_nms(tmp_path, monkeypatch):
    # As in a process of its own, where nothing has said whose names a config uses.
    monkeypatch.setattr(DefaultScope, '_instance_dict', {})
    write_dataset(tmp_path)
    config = tmp_path / 'tiny.py'
    config.write_text(CONFIG.format(classes=CLASSES, root=str(tmp_path)))
    cfg = read_config(str(config))
    for split in ('val', 'test'):
        cfg[f'{split}_evaluator'].pop('_scope_', None)
    model = TrainedModel('host', str(config), 'none', cfg)
    evaluator = build_evaluator(model)
    alone, (both,) = NmsObserver(copy_evaluator(evaluator)), precision.observe([model])
    for raw in model.dataloader:
        seen = SeenBatch(finds_thrice(raw), Heard(), None, None, raw)
        alone.see(seen)
        both.see(seen)
    assert alone.precision() == 1
    found = both.numbers()
    assert found['AP_with_nms'] == 1 and found['AP']['AP'] < 0.8
