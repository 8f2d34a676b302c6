"""Scores each query for a slice of a decoder layer (QR-DETR Eq. 5).

Called by `EEQRDecoderLayer`; its scores feed a policy (`policies`).
"""

import torch
from torch import Tensor, nn

from ..errors import check_choice

CHOICES = dict(
    router_input=('content_and_position', 'content'),
    init=('random', 'enter'),
)


class Router(nn.Module):
    """Projects queries to two scores: column 0 to enter, column 1 to bypass (Eq. 5).

    Args:
        embed_dims: Width of a query.
        router_input: `'content_and_position'` adds the positional query (Sec. 4:
            queries encode both; the content alone is zero at the first layer of
            Conditional-DETR and DAB-DETR); `'content'` is Eq. 5 to the letter.
        init: `'random'` is Xavier, as the paper's Transformer; `'enter'` has zero
            weights and a bias that lets every query enter, so that training starts as
            the host's; not with `StandardizedPolicy`, where a bias has no effect.

    Raises:
        ConfigError: If a setting is not one of these.

    Paper vs here: Eq. 5 has no bias; ours starts at zero unless `init='enter'`.
    """

    def __init__(
        self,
        embed_dims: int,
        router_input: str = 'content_and_position',
        init: str = 'random',
    ) -> None:
        super().__init__()
        for name, value in (('router_input', router_input), ('init', init)):
            check_choice(f'query_routing.router.{name}', value, CHOICES[name])
        self.router_input = router_input
        self.init = init
        self.projection = nn.Linear(embed_dims, 2)
        self.init_weights()

    def init_weights(self) -> None:
        """Start again; hosts initialise whatever sits under their decoder."""
        if self.init == 'enter':
            self.start_alike()
        else:
            nn.init.xavier_uniform_(self.projection.weight)
            nn.init.zeros_(self.projection.bias)

    def start_alike(self) -> None:
        """Give every query the same scores, 'enter' above 'bypass'."""
        nn.init.zeros_(self.projection.weight)
        self.projection.bias.data.copy_(torch.tensor([1.0, 0.0]))

    def forward(self, query: Tensor, query_pos: Tensor) -> Tensor:
        """Score in single precision: half precision would flip close decisions.

        Shapes:
            query, query_pos: (bs, nq, dim)
            returns: (bs, nq, 2)
        """
        with torch.autocast(query.device.type, enabled=False):
            inputs = query
            if self.router_input == 'content_and_position':
                inputs = query + query_pos
            return self.projection(inputs.to(self.projection.weight.dtype))
