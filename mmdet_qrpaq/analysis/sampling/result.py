"""What chosen queries did in each decoder layer: samples, boxes, routing; as JSON.

Filled by :mod:`.sampling_points`, drawn by :mod:`.sampling_picture`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...records.schema import COUNT, NUMBER, SHARE, TEXT, fields, list_of, or_none

YES_OR_NO = {'type': 'boolean'}
PAIR = list_of(NUMBER)
SCHEMA = fields(
    num_queries=COUNT,
    pictures=list_of(
        fields(
            name=TEXT,
            queries=list_of(fields(index=COUNT, label=TEXT, score=SHARE)),
            layers=list_of(
                fields(
                    site=or_none(TEXT),
                    num_entered=or_none(COUNT),
                    queries=list_of(
                        fields(
                            box=list_of(NUMBER),
                            entered=or_none(YES_OR_NO),
                            # One after another: by head, then level, then point.
                            points=list_of(PAIR),
                            weights=list_of(SHARE),
                        )
                    ),
                )
            ),
        )
    ),
)


@dataclass(frozen=True)
class LayerSampling:
    """What the chosen queries did in one decoder layer; coordinates in file pixels.

    Attributes:
        points: (n, heads, levels, points, 2), x and y.
        weights: (n, heads, levels, points).
        boxes: (n, 4), x1, y1, x2, y2, as predicted after the layer.
        site: What its queries enter, if it is routed.
        entered: (n,) bool, if it is routed.
        num_entered: Of all queries of the picture, if it is routed.
    """

    points: Tensor
    weights: Tensor
    boxes: Tensor
    site: str | None = None
    entered: Tensor | None = None
    num_entered: int | None = None

    def looks(self, row: int) -> bool:
        """Whether a chosen query takes samples: those of self-attention sites do."""
        if self.entered is None or self.site == 'self_attn':
            return True
        return bool(self.entered[row])

    def as_dict(self) -> dict[str, Any]:
        """JSON types; a query that does not look has no points."""
        queries = []
        for row, box in enumerate(self.boxes.tolist()):
            seen = self.looks(row)
            queries.append(
                dict(
                    box=box,
                    entered=None if self.entered is None else bool(self.entered[row]),
                    points=self.points[row].flatten(0, -2).tolist() if seen else [],
                    weights=self.weights[row].flatten().tolist() if seen else [],
                )
            )
        return dict(site=self.site, num_entered=self.num_entered, queries=queries)


@dataclass(frozen=True)
class PictureSampling:
    """The chosen queries of one picture.

    Attributes:
        path: Of the picture.
        queries: Index of each chosen query.
        labels: Name of its best class on the last layer.
        scores: Probability of that class.
    """

    path: str
    queries: list[int]
    labels: list[str]
    scores: list[float]
    layers: list[LayerSampling]

    @property
    def name(self) -> str:
        """File name."""
        return self.path.replace('\\', '/').rpartition('/')[2]

    def as_dict(self) -> dict[str, Any]:
        """JSON types."""
        queries = zip(self.queries, self.labels, self.scores, strict=True)
        return dict(
            name=self.name,
            queries=[
                dict(index=index, label=label, score=score)
                for index, label, score in queries
            ],
            layers=[layer.as_dict() for layer in self.layers],
        )


def collect_numbers(pictures: Sequence[PictureSampling], num_queries: int) -> dict:
    """Everything as `SCHEMA` has it."""
    return dict(
        num_queries=num_queries, pictures=[picture.as_dict() for picture in pictures]
    )
