"""Reads and writes videos with OpenCV."""

import errno
import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ..errors import ConfigError

# MPEG-4 Part 2, the one codec for MP4 that every OpenCV of PyPI can write.
CODEC = 'mp4v'
FRAME_RATE = 25.0  # where a video tells none


class Video:
    """A video that is read frame by frame, each turned as it is shown.

    Args:
        path: Where it is.

    Attributes:
        frame_rate: Frames a second.
        expected: How many frames it should have; `None` if it does not tell.
        seen: How many were read.

    Raises:
        ConfigError: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise ConfigError(
                f'video {path} cannot be opened; it is damaged, or of a kind that this '
                'OpenCV does not read.'
            )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.frame_rate = rate if math.isfinite(rate) and rate > 0 else FRAME_RATE
        number = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.expected = int(number) if number > 0 else None
        self.seen = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the frames, (h, w, 3) of uint8, blue first."""
        try:
            while (frame := self._capture.read()[1]) is not None:
                self.seen += 1
                yield frame
        finally:
            self._capture.release()

    def shortfall(self) -> str:
        """Return what to tell of a video that ended too early; nothing if it did not.

        Some formats tell their length to about a second only.
        """
        if self.seen and (self.expected or 0) - self.seen <= self.frame_rate:
            return ''
        told = 'any' if self.expected is None else f'the {self.expected}'
        return (
            f'video {self.path}: {self.seen} of {told} frames could be decoded; it is '
            'damaged, or was cut off.'
        )


class VideoFile:
    """A video to write, under another name until it is closed.

    An odd width or height is one pixel less in it.

    Args:
        path: An MP4 file.
        frame_rate: Frames a second.
    """

    def __init__(self, path: Path, frame_rate: float) -> None:
        self.path, self.frame_rate = path, frame_rate
        self._draft = path.with_name(f'{path.stem}.tmp{path.suffix}')
        self._writer: cv2.VideoWriter | None = None
        self._given = 0

    def add(self, frame: np.ndarray) -> None:
        """Write a frame, (h, w, 3) of uint8, blue first; all are of one size.

        Raises:
            ConfigError: OpenCV cannot write videos here.
        """
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            codec = cv2.VideoWriter_fourcc(*CODEC)
            size = frame.shape[1], frame.shape[0]
            self._writer = cv2.VideoWriter(
                str(self._draft), codec, self.frame_rate, size
            )
            if not self._writer.isOpened():
                raise ConfigError(
                    f'{self.path} cannot be written: this OpenCV writes no {CODEC}; '
                    'pip install opencv-python-headless.'
                )
        self._writer.write(frame)
        self._given += 1

    def close(self) -> None:
        """Finish the file; without a frame there is none.

        Raises:
            OSError: It is not whole, of which OpenCV tells nothing.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        written = cv2.VideoCapture(str(self._draft)).get(cv2.CAP_PROP_FRAME_COUNT)
        if written != self._given:
            self._draft.unlink(missing_ok=True)
            sentence = f'{max(written, 0):.0f} of {self._given} frames are in it'
            raise OSError(errno.EIO, sentence, str(self.path))
        self._draft.replace(self.path)
