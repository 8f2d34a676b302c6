"""Content queries as mixes of shared patterns (PaQ-DETR Eq. 4).

Called by `PatternQueryMixin`, feeds the host's decoder.
"""

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..errors import check_choice, check_number
from .content_fit import fit_content
from .diversity_loss import pattern_diversity
from .weight_generator import PatternWeightGenerator


@MODELS.register_module()
class PatternQueryGenerator(BaseModule):
    """Dynamic content queries Q^C = W^D Q^P, Eq. 4.

    The weights come from the image (`PatternWeightGenerator`, Eq. 5); the patterns are
    shared by all images and all queries.

    Args:
        num_queries: Number of queries `nq` to make; the detector sets it.
        num_patterns: Number of patterns, 1 to `num_queries`. The paper uses 50 for
            300 queries and 150 for 900.
        embed_dims: Width `dim` of queries and memory; the detector sets it.
        num_levels: Number of encoder levels; the detector sets it.
        hidden_dims: Hidden width of the weight MLP (see `PatternWeightGenerator`).
        diversity_weight: beta of Eq. 9, weight of the diversity loss, >= 0.
        finest: Whether the weights see the finest encoder level, too.

    Shapes:
        memory: (bs, sum of h_l * w_l, dim)
        level_sizes: [(h_1, w_1), ...] finest first, plain ints
        memory_mask: (bs, sum of h_l * w_l) bool, True = padding, or None
        output: (bs, nq, dim)

    Raises:
        ConfigError: If a setting is out of its range.
    """

    def __init__(
        self,
        num_queries: int,
        num_patterns: int,
        embed_dims: int = 256,
        num_levels: int = 4,
        hidden_dims: int = 8,
        diversity_weight: float = 0.2,
        finest: bool = False,
    ) -> None:
        super().__init__()
        check_number(
            'pattern_query.num_patterns',
            num_patterns,
            1,
            num_queries,
            whole=True,
            hint='the queries share them; paper: 50 for 300 queries, 150 for 900',
        )
        check_number(
            'pattern_query.hidden_dims',
            hidden_dims,
            1,
            whole=True,
            hint='8 for 900 queries, 64 for 300',
        )
        check_number(
            'pattern_query.diversity_weight', diversity_weight, 0, hint='paper: 0.2'
        )
        check_choice('pattern_query.finest', finest, (True, False))
        self.diversity_weight = diversity_weight
        self.patterns = nn.Embedding(num_patterns, embed_dims)
        self.weight_generator = PatternWeightGenerator(
            num_queries, num_patterns, embed_dims, num_levels, hidden_dims, finest
        )

    def start_as(self, content: Tensor) -> Tensor:
        """Make the content of a host of every image, as near as patterns come to it.

        Shapes:
            content: (nq, dim)
            returns: (nq, dim), what is made now
        """
        weights, patterns = fit_content(content, self.patterns.num_embeddings)
        self.weight_generator.start_as(weights)
        self.patterns.weight.data.copy_(patterns)
        return weights @ patterns

    def forward(
        self,
        memory: Tensor,
        level_sizes: list[tuple[int, int]],
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        pattern_weights = self.weight_generator(memory, level_sizes, memory_mask)
        return pattern_weights @ self.patterns.weight

    def loss(self) -> dict[str, Tensor]:
        """Return the weighted diversity loss, beta * Eq. 8."""
        diversity = pattern_diversity(self.patterns.weight)
        return dict(loss_pattern_diversity=self.diversity_weight * diversity)
