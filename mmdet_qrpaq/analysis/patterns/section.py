"""The analyses of patterns, declared."""

from functools import partial

from ...command_line import count
from ..section import Option, Section, thresholds
from ..subjects import Models

BY = ('class', 'supercategory')
POINTS = ('pictures', 'detections')


WEIGHTS = Section(
    name='pattern_weights',
    title='Pattern weights',
    how='Rows of W^D of successful detections (matched, class right, score and IoU at '
    'least the thresholds) of the classes most often found; effective patterns are the '
    'exponential of the entropy of a row. After PaQ-DETR Fig. 5.',
    shows='Weights of each class and their spread; mean weights by class; cosines '
    'between the patterns.',
    module='patterns.weights',
    options=(
        Option(
            'classes',
            None,
            'classes to show (the four most often detected)',
            nargs='+',
            metavar='NAME',
        ),
        *thresholds(0.5, 0.7),
    ),
    subject=Models(each=True),
)
EMBEDDING = Section(
    name='pattern_embedding',
    title='Pattern weights of images (t-SNE)',
    how='All of W^D of each image, laid out by t-SNE; the class is that of the largest '
    'object. After PaQ-DETR Fig. 6.',
    shows='A point an image, coloured by class; near points have alike W^D.',
    module='patterns.embedding',
    options=(
        Option(
            'points',
            'pictures',
            'what a point is: all of W^D of an image, as in the paper (pictures), or '
            'the row of a successful detection; the thresholds are for the latter',
            choices=POINTS,
        ),
        Option(
            'by',
            'class',
            'what the colours are',
            choices=BY,
        ),
        Option(
            'num_images',
            200,
            'most images, spread evenly over the data set',
            count,
            formerly='pictures',
        ),
        *thresholds(0.5, 0.7),
        Option('seed', 0, 'of the t-SNE', partial(count, least=0, most=2**32 - 1)),
    ),
    subject=Models(each=True),
)
