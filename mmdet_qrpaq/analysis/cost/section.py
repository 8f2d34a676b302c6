"""The analysis of costs, declared."""

from functools import partial

from ...command_line import count
from ..section import Option, Section
from ..subjects import Models

EFFICIENCY = Section(
    name='efficiency',
    title='Efficiency',
    how='All models on the same images, through the pipeline of the first; FLOPs (2 '
    'for each multiply-accumulate) with deformable attention and routing counted, mean '
    '± standard deviation over images; times of predictions, interleaved in random '
    'order. After QR-DETR Table 3 and PaQ-DETR Table 7.',
    shows='Parameters, FLOPs, memory and time of each model, by stage.',
    module='cost.efficiency',
    options=(
        Option(
            'num_images',
            8,
            'images, spread over the data set of the first config',
            count,
            formerly='num-pictures',
        ),
        Option(
            'batch_sizes',
            [1],
            'images in a batch whose time is taken',
            count,
            nargs='+',
            metavar='N',
        ),
        Option(
            'repeats',
            20,
            'timed batches of each size, at least 2',
            partial(count, least=2),
        ),
    ),
    subject=Models(untrained=True),
)
