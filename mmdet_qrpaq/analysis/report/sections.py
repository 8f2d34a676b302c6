"""What the report is made of, in the order of the page."""

from ..cost.section import EFFICIENCY
from ..detections.section import OVERVIEW, PRECISION, SIDE_BY_SIDE
from ..patterns.section import EMBEDDING, WEIGHTS
from ..queries.section import ABLATION, USAGE
from ..routing.section import ROUTING
from ..sampling.section import SAMPLING
from ..training.section import CURVES

SECTIONS = (
    *(OVERVIEW, PRECISION, USAGE, ROUTING, ABLATION, WEIGHTS, EMBEDDING, CURVES),
    *(EFFICIENCY, SAMPLING, SIDE_BY_SIDE),
)
# Less than their scripts show, so that the page stays readable.
SHORTER = {
    'sampling_points': dict(num_images=1, num_queries=3),
    'side_by_side': dict(num_images=6),
}
