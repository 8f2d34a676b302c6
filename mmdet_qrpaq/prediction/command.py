"""One run of `tools/predict.py`, from its arguments on."""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from ..errors import ConfigError
from ..runtime.checkpoints import is_remote
from .detections import Detections
from .drawing import draw
from .inputs import Input, find_inputs, ids_of
from .model import Model, open_model
from .predictor import Predictor
from .results import ResultFiles, require_new_folder
from .thresholds import thresholds_of
from .video import Video, VideoFile

Item = TypeVar('Item')


def run(args: argparse.Namespace) -> int:
    """Predict; return the exit status: 1 if something could not be read, else 0.

    Raises:
        ConfigError: Before anything is written: an argument, the checkpoint or its
            config cannot work.
    """
    if args.tiles:
        from . import tiles  # noqa: F401  its extra may be missing
    folder = Path(args.out) if args.out else _folder_beside(args.model)
    require_new_folder(folder)
    inputs, skipped = find_inputs(args.inputs)
    model = open_model(args)
    inputs, ids = ids_of(inputs, model.classes, args.ann_file)
    thresholds = thresholds_of(model, args.threshold)
    print(thresholds)
    if skipped:
        print(f'{skipped} files in the folders are no images and no videos')
    predictor = Predictor(model)
    by_class = dict(zip(model.classes, thresholds.values.tolist(), strict=True))
    about = dict(
        description='Detections over the thresholds, by tools/predict.py',
        checkpoint=args.model,
        thresholds=by_class,
    )
    files = ResultFiles(folder, model.classes, thresholds.values, ids, about)
    try:
        with (
            files,
            Progress(
                *Progress.get_default_columns(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            ) as progress,
        ):
            work = _Work(model, predictor, files, progress, args)
            work.images([(n, one) for n, one in enumerate(inputs) if not one.is_video])
            for place, one in enumerate(inputs):
                if one.is_video:
                    work.video(place, one)
    finally:
        print(
            f'{files.num_detections} detections over the threshold on '
            f'{files.num_images} images and frames: {folder}'
        )
    for sentence in work.failures:
        print(f'error: {sentence}', file=sys.stderr)
    if work.failures:
        print(f'{len(work.failures)} inputs could not be read', file=sys.stderr)
    return int(bool(work.failures))


class _Work:
    """Takes images and videos through detector, files and drawing.

    Attributes:
        failures: A sentence about each that could not be read.
    """

    def __init__(
        self,
        model: Model,
        predictor: Predictor,
        files: ResultFiles,
        progress: Progress,
        args: argparse.Namespace,
    ) -> None:
        self.failures: list[str] = []
        self._model, self._predictor = model, predictor
        self._files, self._progress = files, progress
        self._batch_size = args.batch_size or model.batch_size
        self._tiled = None
        if args.tiles:
            from .tiles import TiledPredictor

            size = self._batch_size
            self._tiled = TiledPredictor(
                predictor, files.thresholds, args.tiles, args.overlap, size
            )

    def images(self, inputs: Sequence[tuple[int, Input]]) -> None:
        """Predict on images, with their places among the inputs."""
        if not inputs:
            return
        task = self._progress.add_task('images', total=len(inputs))
        for batch in _batches(inputs, 1 if self._tiled else self._batch_size):
            readable, prepared, pixels = [], [], []
            for place, one in batch:
                try:
                    path = str(one.path)
                    image = self._predictor.read(path)
                    if not self._tiled:
                        prepared.append(self._predictor.prepare(path))
                except ConfigError as error:
                    self.failures.append(str(error))
                else:
                    readable.append((place, one))
                    pixels.append(image)
            found = self._predict(prepared, pixels, self._part_of(task))
            for (place, one), image, detections in zip(
                readable, pixels, found, strict=True
            ):
                size = image.shape[:2]
                kept = self._files.add(one, place, size, detections)
                self._files.draw(one, self._draw(image, kept))
            self._progress.advance(task, len(batch))

    def video(self, place: int, source: Input) -> None:
        """Predict on each frame of a video."""
        try:
            video = Video(source.path)
        except ConfigError as error:
            self.failures.append(str(error))
            return
        task = self._progress.add_task(source.name, total=video.expected)
        drawn = VideoFile(self._files.drawn(source), video.frame_rate)
        number = 0
        try:
            for frames in _batches(video, 1 if self._tiled else self._batch_size):
                prepared = []
                if not self._tiled:
                    prepared = [self._predictor.prepare(frame) for frame in frames]
                found = self._predict(prepared, frames, self._part_of(task))
                for frame, detections in zip(frames, found, strict=True):
                    size = frame.shape[:2]
                    kept = self._files.add(source, place, size, detections, number)
                    drawn.add(self._draw(frame, kept))
                    number += 1
                self._progress.advance(task, len(frames))
        finally:
            drawn.close()
        if sentence := video.shortfall():
            self.failures.append(sentence)

    def _predict(
        self,
        prepared: Sequence[dict],
        pixels: Sequence[np.ndarray],
        tell: Callable[[int, int], None],
    ) -> list[Detections]:
        if self._tiled is None:
            return self._predictor.predict(prepared)
        return [self._tiled.predict(image, tell) for image in pixels]

    def _part_of(self, task: int) -> Callable[[int, int], None]:
        """Return what shows how much of the next image is done."""
        before = self._progress.tasks[task].completed

        def tell(done: int, total: int) -> None:
            self._progress.update(task, completed=before + done / (total + 1))

        return tell

    def _draw(self, image: np.ndarray, found: Detections) -> np.ndarray:
        return draw(image, found, self._model.classes, self._model.colours)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _folder_beside(checkpoint: str) -> Path:
    """Return a folder for this run, named by the time.

    Raises:
        ConfigError: The checkpoint is an address.
    """
    if is_remote(checkpoint):
        raise ConfigError(
            f'there is no folder beside {checkpoint}; say where with --out.'
        )
    now = time.strftime('%Y%m%d_%H%M%S')
    return Path(checkpoint).parent / f'predictions_{now}'
