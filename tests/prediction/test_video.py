"""Videos: every frame as it is shown, and what ends too early is told."""

import resource
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.prediction.video import Video, VideoFile

HEIGHT, WIDTH = 48, 64


def frames(number: int) -> list[np.ndarray]:
    """Brighter from frame to frame, and the left upper quarter is white."""
    made = [np.full((HEIGHT, WIDTH, 3), 5 * n, np.uint8) for n in range(number)]
    for frame in made:
        frame[: HEIGHT // 2, : WIDTH // 2] = 255
    return made


def write(path: Path, number: int, rate: float = 12.5) -> Path:
    video = VideoFile(path, rate)
    for frame in frames(number):
        video.add(frame)
    video.close()
    return path


def test_a_video_that_is_not_whole_is_an_error(tmp_path):
    """On a full disk OpenCV goes on; a limit of 4000 bytes a file stands for it."""
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    try:
        video = VideoFile(tmp_path / 'clip.mp4', 8)
        for _ in range(20):
            video.add(noise)
        with pytest.raises(OSError, match='0 of 20 frames are in it'):
            video.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def turn(path: Path) -> None:
    """Make a player turn an MP4 to the right: its matrix, in the header of a track."""
    content = bytearray(path.read_bytes())
    place = content.find(b'tkhd') + 4 + 4 + 20 + 8 + 8
    one = 1 << 16
    matrix = struct.pack('>9i', 0, one, 0, -one, 0, 0, HEIGHT * one, 0, 1 << 30)
    content[place : place + 36] = matrix
    path.write_bytes(content)


def test_what_is_written_is_read_again(tmp_path):
    path = write(tmp_path / 'new' / 'clip.mp4', 20)
    assert [p.name for p in path.parent.iterdir()] == ['clip.mp4']
    video = Video(path)
    found = list(video)
    assert (video.frame_rate, video.expected, video.seen) == (12.5, 20, 20)
    assert not video.shortfall()
    for frame, expected in zip(found, frames(20), strict=True):
        assert np.abs(frame.astype(int) - expected).mean() < 4  # the codec has a loss


def test_odd_sizes_lose_a_pixel(tmp_path):
    video = VideoFile(tmp_path / 'odd.mp4', 10)
    video.add(np.zeros((33, 35, 3), np.uint8))
    video.close()
    assert next(iter(Video(tmp_path / 'odd.mp4'))).shape == (32, 34, 3)


def test_no_frame_no_file(tmp_path):
    VideoFile(tmp_path / 'none.mp4', 10).close()
    assert not list(tmp_path.iterdir())


def test_frames_are_turned_as_they_are_shown(tmp_path):
    path = write(tmp_path / 'clip.mp4', 3)
    turn(path)
    found = list(Video(path))
    assert len(found) == 3 and found[0].shape == (WIDTH, HEIGHT, 3)
    light = found[0].mean(-1)
    assert light[:20, 28:].mean() > 200 and light[:20, :20].mean() < 50


def test_what_ends_too_early_is_told(tmp_path):
    """An AVI is written from its start to its end, and can be cut off."""
    path = tmp_path / 'clip.avi'
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*'MJPG'), 12.5, (WIDTH, HEIGHT)
    )
    rng = np.random.default_rng(0)
    for _ in range(50):
        writer.write(rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))
    writer.release()
    assert len(list(Video(path))) == 50
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    video = Video(path)
    assert 10 < len(list(video)) < 40
    assert f'clip.avi: {video.seen} of the 50 frames' in video.shortfall()


def test_what_is_no_video_is_refused(tmp_path):
    path = write(tmp_path / 'clip.mp4', 9)
    whole = path.read_bytes()
    for content in (b'', b'no video', whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match='clip.mp4 cannot be opened'):
            Video(path)
    with pytest.raises(ConfigError, match='absent.mp4 cannot be opened'):
        Video(tmp_path / 'absent.mp4')
