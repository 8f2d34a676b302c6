"""The analysis of query routing, declared."""

from ..section import Section
from ..subjects import Models

ROUTING = Section(
    name='routing',
    title='Query routing',
    how='How many queries enter each routed slice of the decoder, and whose: a query '
    "counts for the object that the head's one-to-one assigner gives it, or as "
    'background. After QR-DETR Table 2 and Fig. 4.',
    shows='Above: in how many images how many queries enter. Below: share of entering '
    'queries by size and class of their object.',
    module='routing.objects',
    subject=Models(each=True),
)
