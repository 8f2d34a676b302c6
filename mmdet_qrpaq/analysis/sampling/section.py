"""The analysis of sampling points, declared."""

from ...command_line import count
from ..section import Option, Section
from ..subjects import Models

SAMPLING = Section(
    name='sampling_points',
    title='Sampling points',
    how='Where the most confident queries of an image take the samples of deformable '
    'attention, decoder layer by decoder layer.',
    shows='A row a query, a column a decoder layer: its samples, larger and brighter '
    'with their weight, and its box after the layer; grey and dashed where the query '
    'bypassed what the layer routes.',
    module='sampling.points',
    options=(
        Option('images', None, 'images by their name', nargs='+', metavar='FILE'),
        Option('num_images', 2, 'or the first so many', count, formerly='num-pictures'),
        Option('queries', None, 'these queries', int, nargs='+', metavar='INDEX'),
        Option(
            'num_queries',
            3,
            'or so many of the most confident ones of each image, one an object',
            count,
        ),
    ),
    subject=Models(each=True),
)
