"""The files of a prediction: whole, also where it was stopped, for the images done."""

import csv
import json
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from ..errors import ConfigError
from ..records.results import require_writable_folder, write_json, write_whole
from .detections import Detections
from .inputs import Ids, Input

COLUMNS = ('image', 'frame', 'class', 'score', 'x', 'y', 'width', 'height')
_GROWING = ('predictions.json', 'detections.csv')  # written image by image


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold Ctrl-C back until what is inside is done, where Python would hear it."""
    held: list[tuple] = []
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(
        before
    ):
        yield
        return
    signal.signal(signal.SIGINT, lambda *told: held.append(told))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        before(*held[0])


class ResultFiles:
    """Writes what is found, image by image, into a new folder.

    - `predictions.json`: COCO's list of results, all that the model tells.
    - `detections.csv` and `detections.json`, a COCO file with images, categories and
      annotations: those over their thresholds.

    Args:
        folder: Where; it is empty or not there.
        classes: Names, by label.
        thresholds: By label.
        ids: Of images and categories.
        about: Goes into `info` of `detections.json`.

    Attributes:
        are_whole: Whether they are finished; where one cannot be written, none is left
            half written.
    """

    def __init__(
        self,
        folder: Path,
        classes: Sequence[str],
        thresholds: np.ndarray,
        ids: Ids,
        about: dict[str, Any],
    ) -> None:
        self.folder, self.classes, self.thresholds = folder, classes, thresholds
        self._ids = ids
        categories = [
            dict(id=number, name=name)
            for number, name in zip(ids.categories, classes, strict=True)
        ]
        self.are_whole = False
        self._coco = dict(info=about, images=[], categories=categories, annotations=[])
        self._files = ExitStack()

    @property
    def num_detections(self) -> int:
        """How many are over their thresholds."""
        return len(self._coco['annotations'])

    @property
    def num_images(self) -> int:
        """How many images and frames are written."""
        return len(self._coco['images'])

    def __enter__(self) -> 'ResultFiles':
        """Begin the files that are written image by image."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._predictions, table = map(self._begin, _GROWING)
        self._table = csv.writer(table, lineterminator='\n')
        self._table.writerow(COLUMNS)
        self._separator = '[\n'
        return self

    @undisturbed()
    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Finish all files, unless one could not be written."""
        drafts = [(self.folder / f'{n}.tmp', self.folder / n) for n in _GROWING]
        try:
            with self._files:
                end = '\n]\n' if self._separator == ',\n' else '[]\n'
                self._predictions.write(end)
            if not isinstance(error, OSError):
                for draft, path in drafts:
                    draft.replace(path)
                write_json(self.folder / 'detections.json', self._coco)
                self.are_whole = True
        finally:
            for draft, _ in drafts:
                draft.unlink(missing_ok=True)

    def add(
        self,
        source: Input,
        place: int,
        size: tuple[int, int],
        found: Detections,
        frame: int | None = None,
    ) -> Detections:
        """Write what was found on an image; return what is over the thresholds.

        Args:
            place: Of the image among the inputs.
            size: Height and width in pixels.
            frame: Its number in a video, from 0 on.
        """
        height, width = size
        images = self._coco['images']
        number = (
            len(images) + 1 if self._ids.images is None else self._ids.images[place]
        )
        entry = dict(id=number, file_name=source.name, width=width, height=height)
        images.append(entry | ({} if frame is None else dict(frame=frame)))
        for result in self._results(number, found):
            self._predictions.write(self._separator + json.dumps(result))
            self._separator = ',\n'
        kept = found.over(self.thresholds)
        names = (self.classes[label] for label in kept.labels)
        for name, result in zip(names, self._results(number, kept), strict=True):
            self._annotate(result)
            row = [source.name, frame, name, f'{result["score"]:.4f}']
            self._table.writerow([*row, *(f'{x:.2f}' for x in result['bbox'])])
        return kept

    def draw(self, source: Input, image: np.ndarray) -> None:
        """Write a drawn image, (h, w, 3) of uint8, blue first."""
        path = self.drawn(source)
        write_whole(path, cv2.imencode(path.suffix, image)[1].tobytes())

    def drawn(self, source: Input) -> Path:
        """Return where an image or video is drawn."""
        return self.folder / 'drawn' / source.drawn

    def _begin(self, name: str) -> IO[str]:
        path = self.folder / f'{name}.tmp'
        return self._files.enter_context(path.open('w', encoding='utf-8', newline=''))

    def _results(self, image: Any, found: Detections) -> list[dict[str, Any]]:
        """Return detections as COCO's results, as mmdet's `CocoMetric` makes them."""
        results = []
        for row, (left, top, right, bottom) in enumerate(found.boxes.tolist()):
            result = dict(
                image_id=image,
                category_id=self._ids.categories[found.labels[row]],
                bbox=[left, top, right - left, bottom - top],
                score=float(found.scores[row]),
            )
            if found.masks is not None:
                result['segmentation'] = found.masks[row]
            results.append(result)
        return results

    def _annotate(self, result: dict[str, Any]) -> None:
        objects = self._coco['annotations']
        area = result['bbox'][2] * result['bbox'][3]
        objects.append(dict(id=len(objects) + 1, **result, area=area, iscrowd=0))


def require_new_folder(folder: Path) -> None:
    """Refuse a folder that holds something, or that cannot be made.

    Raises:
        ConfigError: It does, or cannot.
    """
    require_writable_folder(str(folder), '--out')
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(
            f'--out {folder} is not empty, and nothing in it is replaced; remove it or '
            'give another folder.'
        )
