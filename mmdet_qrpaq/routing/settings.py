"""The settings of query routing, checked when a detector is built.

`QueryRoutingMixin` makes one from the config; every routed layer reads it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property

import torch
from mmdet.registry import TASK_UTILS

from ..errors import ConfigError, check_choice, check_names, check_number
from .policies import StandardizedPolicy, count_share
from .router import CHOICES as ROUTER_CHOICES

SITES = ('layer', 'self_attn', 'cross_attn')
CHOICES = dict(
    ffn_scope=('routed', 'all'),
    gradient=('exit_head', 'straight_through', 'benefit'),
    exit_input=('scaled_query', 'scores'),
    exit_teaches=('all', 'router'),
    supervise=('all', 'entering'),
    bypassed_boxes=('refined', 'kept'),
    executor=('auto', 'gather', 'dense'),
    regroup=('scatter', 'concat'),
)


# How a router learns in which all queries pass the slice in training.
DENSE_GRADIENTS = ('straight_through', 'benefit')


@dataclass(frozen=True)
class RoutingSettings:
    """What a config says under `query_routing`. Never changes: `replace` copies it.

    Args:
        num_queries: Matching queries of the host.
        num_layers: Layers of the host's decoder.
        schedule: Site of each layer, repeated over the decoder (Sec. 5.4a):
            `'layer'`, `'self_attn'`, `'cross_attn'`.
        ffn_scope: `'routed'`, only queries that entered pass the FFN (Sec. 5.4c), or
            `'all'` (Eq. 10-11).
        router: Settings of `Router`.
        policy: Config of a rule of `policies`; or a dict of them, one by each site of
            the schedule.
        gradient: How the router learns. `'exit_head'` is the paper's;
            `'straight_through'` lets the detector's own losses through the decision;
            `'benefit'` tells it who is better off behind the slice (`benefit.py`). Both
            always train with the dense executor.
        exit_input: What exit heads see: `'scaled_query'`, the queries after the slice
            times sigma_EE; or `'scores'`, a projection of the router's scores alone.
        exit_teaches: Where the gradient of their losses ends: `'all'`, decoder, encoder
            and backbone learn from it, too; or `'router'`, 'targeted training of this
            layer' (Sec. 4.1). Without effect where there are no exit heads.
        supervise: What counts as a prediction of a layer in its Hungarian losses:
            `'all'` queries, or those that are `'entering'` (Sec. 1, 4.2b); in the last
            layer all are. See `EnteringDETRHead`.
        bypassed_boxes: A query that bypasses a layer or its cross-attention has its box
            `'refined'` by that layer's box branch all the same, or it is `'kept'` (Sec.
            4: 'retained as they are'). See `keep_boxes`.
        executor: `'gather'` (Eq. 7-8) or `'dense'`, with the same result; or `'auto'`,
            see `runs_dense`.
        capacity: Most queries that may enter a slice: a number, or a share of the
            queries in (0, 1); None is no limit. May be set on a trained model, see
            `QueryRoutingMixin.change_routing`.
        at_least: Share of the queries that enters a slice whatever the rule says, those
            with the highest margin first: 1 lets all enter. `WarmRoutingHook` lowers
            it in training.
        regroup: `'scatter'`, back in place, or `'concat'` (Table 5).

    Raises:
        ConfigError: If a setting cannot work.
    """

    num_queries: int
    num_layers: int
    schedule: Sequence[str] = SITES
    ffn_scope: str = 'routed'
    router: dict = field(default_factory=dict)
    policy: dict | Callable = field(
        default_factory=lambda: dict(type='StandardizedPolicy')
    )
    gradient: str = 'straight_through'
    exit_input: str = 'scaled_query'
    exit_teaches: str = 'all'
    supervise: str = 'all'
    bypassed_boxes: str = 'refined'
    executor: str = 'auto'
    capacity: int | float | None = None
    at_least: float = 0.0
    regroup: str = 'scatter'

    @classmethod
    def names(cls) -> list[str]:
        """List what can be set; the rest is the host's."""
        return [f.name for f in fields(cls) if not f.name.startswith('num_')]

    @classmethod
    def from_config(
        cls, config: dict, num_queries: int, num_layers: int
    ) -> 'RoutingSettings':
        """Build the settings; refuse names that are not settings."""
        check_names('query_routing', config, cls.names())
        return cls(num_queries, num_layers, **config)

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            check_choice(f'query_routing.{name}', getattr(self, name), known)
        self._check_router()
        for name in ('sites', 'slots', 'fewest', 'rules'):
            getattr(self, name)  # refuses what it cannot be made of
        if self.gradient == 'benefit' and self.exit_input == 'scores':
            raise ConfigError(
                "query_routing.exit_input='scores' has no place with "
                "gradient='benefit', where exit heads see the queries: remove it."
            )
        if self.router.get('init') == 'enter' and any(
            isinstance(rule, StandardizedPolicy) for rule in self.rules.values()
        ):
            raise ConfigError(
                "query_routing.router.init='enter' raises all scores alike, and "
                'StandardizedPolicy compares those of an image with each other, so '
                "that nothing comes of it: use init='random' or a ThresholdPolicy."
            )

    def _check_router(self) -> None:
        """Check names only; `Router` checks the values."""
        if not isinstance(self.router, dict):
            raise ConfigError(
                f'query_routing.router is {self.router!r}: give a dict of '
                f'{", ".join(ROUTER_CHOICES)}.'
            )
        check_names('query_routing.router', self.router, list(ROUTER_CHOICES))

    def runs_dense(self, device: torch.device) -> bool:
        """Tell whether all queries run, for the result that gathering has.

        On a CPU gathering saves its share of the work. A GPU has a decoder done faster
        than the host can ask for it: there `'auto'` takes what asks for the fewest
        operations, and does not wait for the number of entering queries. With a
        `capacity` nothing waits, and less work is what was asked for.
        """
        if self.executor == 'auto':
            return device.type != 'cpu' and self.slots is None
        return self.executor == 'dense'

    @property
    def targets_the_router(self) -> bool:
        """Whether exit heads teach it, and nothing before it (Sec. 4.1)."""
        return self.has_exit_heads and self.exit_teaches == 'router'

    @property
    def has_exit_heads(self) -> bool:
        """Whether the router learns by what exit heads predict."""
        return self.gradient in ('exit_head', 'benefit')

    @cached_property
    def rules(self) -> dict[str, Callable]:
        """The rule of each site of the schedule."""
        sites, policy = dict.fromkeys(self.sites), self.policy
        if not isinstance(policy, dict) or not policy.keys() & set(SITES):
            return dict.fromkeys(sites, build_rule('query_routing.policy', policy))
        check_names('query_routing.policy', policy, SITES)
        for site in sites:
            if site not in policy:
                raise ConfigError(
                    f'query_routing.policy has no rule for the site {site!r} of the '
                    'schedule: add one, or give one rule for all sites.'
                )
        return {
            site: build_rule(f'query_routing.policy.{site}', policy[site])
            for site in sites
        }

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """The site of each layer."""
        schedule, num_layers = self.schedule, self.num_layers
        if isinstance(schedule, str) or not isinstance(schedule, Sequence):
            raise ConfigError(
                f'query_routing.schedule is {schedule!r}: give a list of '
                f'{", ".join(map(repr, SITES))}.'
            )
        for site in schedule:
            if site not in SITES:
                raise ConfigError(
                    f'query_routing.schedule names the site {site!r}: use '
                    f'{", ".join(map(repr, SITES))}.'
                )
        if not schedule or num_layers % len(schedule):
            raise ConfigError(
                f'query_routing.schedule has {len(schedule)} sites, which do not fill '
                f'the {num_layers} decoder layers when repeated: give one site per '
                'layer, or a number of them that divides the layers.'
            )
        return tuple(schedule) * (num_layers // len(schedule))

    @cached_property
    def slots(self) -> int | None:
        """The capacity in queries."""
        capacity, name = self.capacity, 'query_routing.capacity'
        if capacity is None:
            return None
        if isinstance(capacity, float):
            hint = 'a share of the queries, or a whole number of them'
            check_number(name, capacity, 0.001, 1, hint=hint)
            return count_share(capacity, self.num_queries)
        hint = f'the model has {self.num_queries} queries; None is no limit'
        check_number(name, capacity, 1, self.num_queries, whole=True, hint=hint)
        return capacity

    @cached_property
    def fewest(self) -> int:
        """How many enter whatever the rule says."""
        hint = 'a share of the queries'
        check_number('query_routing.at_least', self.at_least, 0, 1, hint=hint)
        return count_share(self.at_least, self.num_queries)


def build_rule(name: str, policy: dict | Callable) -> Callable:
    """Return the rule that a config names.

    Args:
        name: The setting as a user finds it in the config.

    Raises:
        ConfigError: If there is no such rule.
    """
    if callable(policy):
        return policy
    try:
        return TASK_UTILS.build(policy)
    except (KeyError, TypeError) as error:
        reason = ' '.join(str(error.args[0]).split('. ')[0].split())
        raise ConfigError(
            f'{name} is {policy!r}, of which no rule can be built ({reason}): give '
            "dict(type='StandardizedPolicy'), 'ThresholdPolicy', 'TopSharePolicy' or "
            'one of your own from TASK_UTILS, and only settings it has.'
        ) from error
