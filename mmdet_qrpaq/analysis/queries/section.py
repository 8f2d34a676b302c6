"""The analyses of queries, declared."""

from ...command_line import count
from ..section import Option, Section, thresholds

USAGE = Section(
    name='query_usage',
    title='Query usage',
    how="A hit of a query is an object that the head's own one-to-one assigner gives "
    'it on the last decoder layer; it is confident and correct if the class is right, '
    'and score and IoU reach their thresholds. On two-stage hosts the index of a query '
    'is the rank of its proposal, so hits gather on the first queries by construction. '
    'After PaQ-DETR Fig. 1 and Table 6.',
    shows='Left: hits per query, most used first. Right: Lorenz curves; the further '
    'below the diagonal, the fewer queries do the work.',
    module='queries.usage',
    options=thresholds(0.3, 0.5),
)

KEEP = ('first', 'used')
ABLATION = Section(
    name='query_ablation',
    title='Sub-layers and fewer queries',
    how='The trained models, not retrained: the term of one attention is taken out of '
    'every decoder layer, only the first queries (two-stage hosts: the best '
    'proposals) are decoded, or only so many may enter each layer of a model that '
    'routes (capacity). After QR-DETR Fig. 2.',
    shows='Left: AP with one attention or both. Right: AP (dotted: AP50) by number of '
    'queries kept; dashed, by capacity.',
    module='queries.ablation',
    options=(
        Option(
            'queries',
            None,
            'numbers of queries to keep (1, 5/6, 2/3, 1/2, 1/3 and 1/6 of them)',
            count,
            nargs='+',
            metavar='N',
        ),
        Option(
            'keep',
            'first',
            'which queries: the first ones, on two-stage models the best proposals; or '
            'those matched most often on these images, which flatters them',
            choices=KEEP,
        ),
    ),
)
