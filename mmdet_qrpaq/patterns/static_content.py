"""Learned content that no image changes: the control to compare patterns with."""

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class StaticContent(BaseModule):
    """One learned embedding per query, the same for all images, as DINO has.

    `pattern_query=dict(type='StaticContent')` gives it to a host whose content is
    something else. What `PatternQueryGenerator` gains over it comes from patterns, and
    not from content that is learned at all.

    Args:
        num_queries: Number of queries `nq`; the detector sets it.
        embed_dims: Width `dim` of a query; the detector sets it.
        num_levels: Not used; the detector sets it.

    Shapes:
        memory: (bs, sum of h_l * w_l, dim)
        output: (bs, nq, dim)
    """

    def __init__(
        self, num_queries: int, embed_dims: int = 256, num_levels: int = 4
    ) -> None:
        super().__init__()
        self.content = nn.Embedding(num_queries, embed_dims)

    def init_weights(self) -> None:
        """Start as mmdet's DINO does."""
        super().init_weights()
        nn.init.xavier_uniform_(self.content.weight)

    def start_as(self, content: Tensor) -> Tensor:
        """Take over the content of a host, (nq, dim); return what is made now."""
        self.content.weight.data.copy_(content)
        return content

    def forward(self, memory: Tensor, **levels) -> Tensor:
        return self.content.weight.expand(len(memory), -1, -1)

    def loss(self) -> dict[str, Tensor]:
        """Return no loss of its own."""
        return {}
