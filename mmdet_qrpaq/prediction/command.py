"""One run of `tools/predict.py`, from its arguments on."""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from rich.progress import MofNCompleteColumn, Progress, TaskID, TimeElapsedColumn

from ..errors import ConfigError
from ..runtime.checkpoints import is_remote
from .detections import Detections
from .drawing import draw
from .inputs import Input, find_inputs, ids_of
from .model import Model, open_model
from .predictor import Loaded, Predictor, Tell, pixels_of
from .results import ResultFiles, require_new_folder, undisturbed
from .thresholds import thresholds_of
from .video import Video, VideoFile

if TYPE_CHECKING:
    from .tiles import TiledPredictor

Item = TypeVar('Item')


def run(args: argparse.Namespace) -> int:
    """Predict; return the exit status: 1 if something could not be read, else 0.

    Raises:
        ConfigError: Before anything is written: an argument, the checkpoint or its
            config cannot work. Later: the files cannot be written.
    """
    if args.tiles:
        from .tiles import TiledPredictor  # at first: its extra may be missing
    folder = Path(args.out) if args.out else _folder_beside(args.model)
    require_new_folder(folder)
    inputs, skipped = find_inputs(args.inputs)
    model = open_model(args)
    inputs, ids = ids_of(inputs, model.classes, args.ann_file)
    thresholds = thresholds_of(model, args.threshold)
    print(thresholds)
    if skipped:
        print(f'{skipped} files in the folders are no images and no videos')
    size = args.batch_size or model.batch_size
    finder = Predictor(model)
    if args.tiles:
        tiles = args.tiles, args.overlap, size
        finder = TiledPredictor(finder, thresholds.values, *tiles)
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
            work = _Work(finder, files, progress, model, 1 if args.tiles else size)
            work.images([(n, one) for n, one in enumerate(inputs) if not one.is_video])
            for place, one in enumerate(inputs):
                if one.is_video:
                    work.video(place, one)
    except OSError as error:
        raise ConfigError(
            f'{error.filename or folder} cannot be written ({error.strerror or error}) '
            f'after {files.num_images} images and frames; make room, or give another '
            'folder with --out.'
        ) from error
    finally:
        if files.are_whole:
            print(
                f'{files.num_detections} detections over the threshold on '
                f'{files.num_images} images and frames: {folder}'
            )
    for sentence in work.failures:
        print(f'error: {sentence}', file=sys.stderr)
    return int(bool(work.failures))


class _Work:
    """Takes images and videos through detector, files and drawing.

    Args:
        finder: Finds objects on images.
        files: For what is found.
        progress: Shows how far it is.
        model: Names and colours of its classes.
        batch_size: Images at a time.

    Attributes:
        failures: A sentence about each that could not be read.
    """

    def __init__(
        self,
        finder: 'Predictor | TiledPredictor',
        files: ResultFiles,
        progress: Progress,
        model: Model,
        batch_size: int,
    ) -> None:
        self.failures: list[str] = []
        self._finder, self._files, self._progress = finder, files, progress
        self._model, self._batch_size = model, batch_size

    def images(self, inputs: Sequence[tuple[int, Input]]) -> None:
        """Predict on images, with their places among the inputs."""
        if not inputs:
            return
        task = self._progress.add_task('images', total=len(inputs))
        done = 0
        for batch in _batches(inputs, self._batch_size):
            loaded = []
            for place, one in batch:
                with self._telling():
                    loaded.append((place, one, self._finder.load(str(one.path))))
            self._find(loaded, self._part_of(task))
            done += len(batch)
            self._progress.update(task, completed=done)

    def _find(self, loaded: list[tuple[int, Input, Loaded]], tell: Tell) -> None:
        """Predict on a batch; where it cannot be, image by image, to tell of which."""
        try:
            found = self._finder.find([image for *_, image in loaded], tell)
        except ConfigError as error:
            if len(loaded) == 1:
                self.failures.append(str(error))
            else:
                for one in loaded:
                    self._find([one], tell)
            return
        for (place, one, image), detections in zip(loaded, found, strict=True):
            with undisturbed():
                drawn = self._take(one, place, pixels_of(image), detections)
                self._files.draw(one, drawn)

    def video(self, place: int, source: Input) -> None:
        """Predict on each frame of a video."""
        with self._telling():
            video = Video(source.path)
            task = self._progress.add_task(source.name, total=video.expected)
            path = self._files.drawn(source)
            with closing(VideoFile(path, video.frame_rate)) as drawn:
                for batch in _batches(enumerate(video), self._batch_size):
                    loaded = [
                        dict(self._finder.load(frame), img_path=source.path)
                        for _, frame in batch
                    ]
                    found = self._finder.find(loaded, self._part_of(task))
                    for (n, frame), detections in zip(batch, found, strict=True):
                        with undisturbed():
                            drawn.add(self._take(source, place, frame, detections, n))
                    self._progress.update(task, completed=video.seen)
            if sentence := video.shortfall():
                self.failures.append(sentence)

    def _take(
        self,
        source: Input,
        place: int,
        image: np.ndarray,
        found: Detections,
        frame: int | None = None,
    ) -> np.ndarray:
        """Write what was found, and return it drawn."""
        kept = self._files.add(source, place, image.shape[:2], found, frame)
        return draw(image, kept, self._model.classes, self._model.colours)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Go on after an input that cannot be read; it is told at the end."""
        try:
            yield
        except ConfigError as error:
            self.failures.append(str(error))

    def _part_of(self, task: TaskID) -> Tell:
        """Return what shows how much of the next image is done."""
        before = self._progress.tasks[task].completed

        def tell(done: int, total: int) -> None:
            self._progress.update(task, completed=before + done / (total + 1))

        return tell


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
