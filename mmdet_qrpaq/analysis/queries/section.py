"""The analyses of queries, declared."""

from ..section import Section, thresholds

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
