#!/usr/bin/env python
"""Detect objects in images by an exported model.

    pip install onnxruntime numpy pillow
    python detect_onnx.py MODEL.onnx IMAGE [IMAGE ...] --out FOLDER

Needs nothing else. Prints a line for each object: image, class, score, and the box in
pixels of the file (left, top, right, bottom); with --out also draws them. MODEL.json is
read beside MODEL.onnx: how images are resized, names of classes, score thresholds.
"""

import argparse
import json
import sys
from pathlib import Path


def parse_args(argv=None):
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('model', type=Path, metavar='MODEL.onnx')
    parser.add_argument('images', type=Path, nargs='+', metavar='IMAGE')
    parser.add_argument(
        '--threshold', type=float, help='least score (that of each class in MODEL.json)'
    )
    parser.add_argument('--out', type=Path, metavar='FOLDER', help='draw into it')
    return parser.parse_args(argv)


class Detector:
    """An exported model and what is known of it.

    Args:
        path: Of the `.onnx` file, beside which the `.json` file is.
    """

    def __init__(self, path):
        import onnxruntime

        self.facts = json.loads(path.with_suffix('.json').read_text(encoding='utf-8'))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=['CPUExecutionProvider']
        )

    def __call__(self, pixels, threshold=None):
        """Return the objects of an image, best first.

        Args:
            pixels: (height, width, 3) uint8, RGB.
            threshold: Least score; None: that of each class.

        Returns:
            boxes (n, 4) in pixels of the image, scores (n,), labels (n,), and masks
            (n, height, width) bool or None.
        """
        import numpy as np

        height, width = pixels.shape[:2]
        size = self.size_of(height, width)
        batch = resize(pixels, size).transpose(2, 0, 1)[None]
        outputs = self.session.run(None, {'images': np.ascontiguousarray(batch)})
        boxes, scores, labels, *masks = (output[0] for output in outputs)
        least = threshold
        if threshold is None:
            least = np.array(self.facts['thresholds'])[labels]
        kept = scores >= least
        boxes = boxes[kept] * np.array([width / size[1], height / size[0]] * 2)
        if not masks:
            return boxes, scores[kept], labels[kept], None
        return (
            boxes,
            scores[kept],
            labels[kept],
            self.draw_masks(masks[0][kept], size, (height, width)),
        )

    def size_of(self, height, width):
        """Return (height, width) that the network sees of an image of this size."""
        if self.facts.get('size'):
            return tuple(self.facts['size'])
        if 'long_side' not in self.facts:
            return height, width
        short, long = self.facts['short_side'], self.facts['long_side']
        factor = min(long / max(height, width), short / min(height, width))
        return int(height * factor + 0.5), int(width * factor + 0.5)

    @staticmethod
    def draw_masks(logits, size, out_size):
        """Return masks in pixels of the image, of logits with a cell of 4 x 4 pixels.

        Cells may reach over the lower and the right edge.
        """
        import numpy as np

        masks = np.zeros((len(logits), *out_size), bool)
        for mask, cells in zip(masks, logits, strict=True):
            pixels = resize(cells[..., None], tuple(4 * n for n in cells.shape))
            pixels = pixels[: size[0], : size[1]]
            mask[:] = resize(pixels, out_size)[..., 0] > 0
        return masks


def resize(pixels, size):
    """Resize as OpenCV's INTER_LINEAR does, which the model was tested with.

    Pillow's own filters would smooth an image that gets smaller.

    Args:
        pixels: (height, width, channels)
        size: (height, width)
    """
    import numpy as np

    if pixels.shape[:2] == tuple(size):
        return pixels
    sides = []
    for old, new in zip(pixels.shape[:2], size, strict=True):
        place = ((np.arange(new) + 0.5) * (old / new) - 0.5).clip(0, old - 1)
        first = place.astype(int)
        sides.append((first, (first + 1).clip(max=old - 1), place - first))
    (top, bottom, y), (left, right, x) = sides
    y, x = y[:, None, None].astype('f4'), x[:, None].astype('f4')
    lines = pixels[top] * (1 - y) + pixels[bottom] * y
    resized = lines[:, left] * (1 - x) + lines[:, right] * x
    if pixels.dtype != np.uint8:
        return resized
    return np.rint(resized).astype(np.uint8)


def draw(image, found, classes):
    """Return a copy of an image with its objects."""
    from PIL import Image, ImageDraw

    colours = ['#d55e00', '#0072b2', '#009e73', '#cc79a7', '#e69f00', '#56b4e9']
    drawn = image.copy()
    boxes, scores, labels, masks = found
    for number in reversed(range(len(boxes))):
        colour = colours[labels[number] % len(colours)]
        if masks is not None:
            half = Image.fromarray(masks[number].astype('u1') * 128)
            drawn.paste(colour, mask=half)
        pen = ImageDraw.Draw(drawn)
        pen.rectangle(boxes[number].tolist(), outline=colour, width=2)
        text = f'{classes[labels[number]]} {scores[number]:.2f}'
        left, top = boxes[number][:2]
        place = (left + 2, max(0, top - 12))
        pen.rectangle(pen.textbbox(place, text), fill=colour)
        pen.text(place, text, fill='white')
    return drawn


def main(argv=None):
    """Detect, print and draw."""
    args = parse_args(argv)

    import numpy as np
    from PIL import Image, ImageOps

    for path in (args.model, args.model.with_suffix('.json'), *args.images):
        if not path.is_file():
            sys.exit(f'error: {path} does not exist.')
    detector = Detector(args.model)
    classes = detector.facts['classes']
    for path in args.images:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file).convert('RGB')
        found = detector(np.asarray(image), args.threshold)
        boxes, scores, labels, _ = found
        for box, score, label in zip(boxes, scores, labels, strict=True):
            corners = ' '.join(f'{corner:.1f}' for corner in box)
            print(f'{path} {classes[label]} {score:.3f} {corners}')
        if not len(boxes):
            print(f'{path} nothing above the threshold')
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            out = args.out / f'{path.stem}.png'
            draw(image, found, classes).save(out)
            print(f'written: {out}')


if __name__ == '__main__':
    main()
