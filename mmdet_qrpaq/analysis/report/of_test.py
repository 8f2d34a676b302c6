"""The report of a test: what it shows is seen in the test's own run."""

import csv
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from ... import operating_points
from ...errors import ConfigError
from ...operating_points import OperatingPoints
from ...records.results import check_writable, require_writable_folder, write_whole
from ...runtime.checkpoints import is_remote
from ...settings.together import leaf_datasets
from ..detections.section import OVERVIEW
from ..diagnosis.section import (
    CALIBRATION,
    CONFUSION,
    ERROR_TYPES,
    THRESHOLDS,
    WORST_IMAGES,
)
from ..diagnosis.thresholds import points_of
from ..listening import Heard, bare_model
from ..one_pass import SeenBatch
from ..trained_detector import TrainedModel
from .page import write_page
from .parts import finish, observers_in, prepare

SECTIONS = (OVERVIEW, THRESHOLDS, ERROR_TYPES, CONFUSION, CALIBRATION, WORST_IMAGES)
TITLE = 'Test of '
_KEPT = ('bboxes', 'labels', 'scores')


class TestReport(BaseMetric):
    """Takes note of a test's detections; at its end the first process writes the page.

    Args:
        folder: For page and numbers.
        checkpoint: Its operating points are written beside it, if they are found on
            the validation images.
        cfg: Of the test.

    Raises:
        ConfigError: The folder, or what goes beside the checkpoint, cannot be written,
            or another page is there.
    """

    __test__ = False  # for pytest

    def __init__(self, folder: Path, checkpoint: str, cfg: Config) -> None:
        super().__init__(collect_device='cpu')
        self._folder, self._checkpoint, self._cfg = folder, checkpoint, cfg
        self.failed: list[str] = []
        require_writable_folder(str(folder), '--report')
        self._page = folder / 'report.html'
        mark = f'<title>{TITLE}'
        if self._page.exists() and mark not in self._page.read_text(errors='replace'):
            raise ConfigError(
                f'--report {folder}: {self._page} is another page than the report of a '
                'test, and is not replaced; choose another folder.'
            )
        # Why they are not kept beside the checkpoint.
        self._apart = ''
        if is_remote(checkpoint):
            self._apart = 'it is an address'
        elif images_of(cfg, 'test') != images_of(cfg, 'val'):
            self._apart = 'these are not the validation images, which --split val tests'
        else:
            check_writable(operating_points.path_of(checkpoint))

    def watch(self, runner: Runner, config: str) -> None:
        """Take part in a test.

        Args:
            runner: Of the test.
            config: As the user gave it.

        Raises:
            ConfigError: The test loads no ground truth.
        """
        name = Path(config).stem
        self._model = TrainedModel(name, config, self._checkpoint, self._cfg, 'test')
        # The test's own, in place of what this would build.
        self._model.dataloader = runner.test_dataloader
        self._model.detector = bare_model(runner)
        sections = [(section, section.choose()) for section in SECTIONS]
        self._parts = prepare(sections, [self._model], self._folder, reuse=False)
        for part in self._parts:
            if part.sentence:
                raise ConfigError(part.sentence)
        runner.test_evaluator.metrics.append(self)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep what a batch's images hold and what was found there."""
        for sample in data_samples:
            kept = {k: sample[k] for k in ('img_path', 'scale_factor') if k in sample}
            for key in ('pred_instances', 'gt_instances', 'ignored_instances'):
                if key in sample:
                    part = sample[key]
                    kept[key] = {k: part[k].cpu() for k in _KEPT if k in part}
            self.results.append(kept)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Write page and operating points; called in the first process, with all."""
        model = self._model
        watching = observers_in(self._parts, model)
        for image, kept in enumerate(results):
            batch = SeenBatch(
                [_sample(kept)],
                Heard(),
                model.detector,
                model.dataloader.dataset,
                images=[image],
            )
            for observer in watching:
                observer.see(batch)
        title = f'{TITLE}{model.name}'
        self.failed = write_page(self._page, title, finish(self._parts))
        found = [part for part in self._parts if part.section is THRESHOLDS]
        if found[0].numbers is not None:
            self._write_points(points_of(found[0].numbers))
        return {}

    def _write_points(self, points: OperatingPoints) -> None:
        print(write_whole(self._folder / 'thresholds.csv', as_csv(points)))
        apart = self._apart or 'nothing found is right' * (not points.overall.f1)
        if apart:
            print(f'Thresholds are not kept beside the checkpoint: {apart}.')
            return
        path = operating_points.write(points, self._checkpoint)
        print(
            f'{path}: thresholds of this test, with its settings, on '
            f'{points.ann_file}, {points.num_images} images; tools/predict.py takes '
            'them from now on'
        )

    def exit(self) -> None:
        """End the process with status 1 if a section failed.

        Raises:
            SystemExit: One did.
        """
        if self.failed:
            failed = ', '.join(self.failed)
            print(f'error: failed: {failed}; see above.', file=sys.stderr)
            sys.exit(1)


def _sample(kept: dict) -> DetDataSample:
    """Return what a detector returned, from what was kept of it."""
    parts = {k: InstanceData(**v) for k, v in kept.items() if isinstance(v, dict)}
    meta = {k: v for k, v in kept.items() if not isinstance(v, dict)}
    sample = DetDataSample(metainfo=meta)
    for key, part in parts.items():
        setattr(sample, key, part)
    return sample


def images_of(cfg: Config, stage: str) -> list[list[str]]:
    """Return where annotations and images of a stage are, a list for each data set."""
    found = []
    loader = cfg.get(f'{stage}_dataloader')
    for _, dataset in leaf_datasets(loader.dataset, '') if loader else ():
        prefixes = [*(dataset.get('data_prefix') or {}).values()]
        paths = [dataset.get('ann_file') or '', *sorted(filter(None, prefixes))]
        root = dataset.get('data_root') or ''
        found.append([os.path.realpath(os.path.join(root, path)) for path in paths])
    return found


def as_csv(points: OperatingPoints) -> str:
    """Write operating points as CSV, all classes together first."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator='\n')
    rows.writerow(('class', 'threshold', 'f1', 'precision', 'recall', 'objects'))
    for name, point in [('', points.overall), *points.classes.items()]:
        rows.writerow((name, *vars(point).values()))
    return text.getvalue()
