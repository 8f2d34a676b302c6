"""What is compared with what. A study trains each variant with the same seeds and data.

A variant is what it changes in its leaf's model. The first one is the host.
"""

from typing import NamedTuple


class Study(NamedTuple):
    """Variants of one model.

    Attributes:
        leaf: Config all variants share, under ``configs/``.
        variants: Settings of ``model`` by the variant's name.
    """

    leaf: str
    variants: dict[str, dict]


def routing(policy: dict, gradient: str, init: str = 'random', **others) -> dict:
    """The model settings of one way to route."""
    settings = dict(policy=policy, gradient=gradient, router=dict(init=init), **others)
    return dict(type='QRPaQDINO', query_routing=settings)


THRESHOLD = dict(type='ThresholdPolicy')
STANDARDIZED = dict(type='StandardizedPolicy', threshold=-0.5)

STUDIES = dict(
    # Which decision rule and which gradient (QR-DETR Sec. 4.1, Eq. 6) by default?
    routing_policy=Study(
        leaf='dino_r18_4e_digits.py',
        variants={
            'host': {},
            'threshold, exit heads': routing(THRESHOLD, 'exit_head'),
            'threshold, exit heads on scores': routing(
                THRESHOLD, 'exit_head', exit_input='scores'
            ),
            'threshold, straight-through, all enter at first': routing(
                THRESHOLD, 'straight_through', init='enter'
            ),
            'standardized, straight-through': routing(STANDARDIZED, 'straight_through'),
            'standardized, exit heads': routing(STANDARDIZED, 'exit_head'),
            'top half, straight-through': routing(
                dict(type='TopSharePolicy', share=0.5), 'straight_through'
            ),
        },
    ),
)
