"""What is compared with what, in pairs: each study is a leaf and its variants.

A variant is a dict of model settings laid over the leaf, or a `Variant` with other
settings, too. The first is what the others are compared with. Trained by `paired.py`,
summed up by `benchmarks/tables.py`.
"""

import runpy
from pathlib import Path
from typing import NamedTuple

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
METHODS = runpy.run_path(str(CONFIGS / '_base_' / 'methods.py'))


# Settings in which the variants of a study may differ.
OF_A_VARIANT = ('model', 'custom_hooks')


class Variant(NamedTuple):
    """Settings of `model`, and of the run beside it."""

    model: dict
    others: dict

    @classmethod
    def of(cls, variant: 'dict | Variant') -> 'Variant':
        """Return one of model settings alone as it is."""
        return variant if isinstance(variant, cls) else cls(variant, {})


class Study(NamedTuple):
    """Variants of one model.

    Attributes:
        question: What it is to decide, in one sentence.
        leaf: Config all variants share, under `configs/`.
        variants: Settings by the variant's name.
        paper: AP of the paper's row for a variant, and of its host's (on COCO, full
            size).
        start: What the weights are at first.
    """

    question: str
    leaf: str
    variants: dict[str, dict | Variant]
    paper: dict[str, tuple[float, float]] = {}  # noqa: RUF012  (never changed)
    start: str = 'from scratch'


# P of the small models: 10 patterns for 30 queries.
PATTERNS = dict(METHODS['patterns_300'], num_patterns=10)
# Of the larger ones, with 100: in the paper's proportion.
PATTERNS_100 = dict(METHODS['patterns_300'], num_patterns=17)
# Their control: this host has no learned content of its own.
STATIC = dict(type='StaticContent')
QUALITY = METHODS['quality']
VARIFOCAL = dict(METHODS['varifocal'], _delete_=True)
EEQR = METHODS['eeqr']
THRESHOLD = dict(type='ThresholdPolicy')
STANDARDIZED = dict(type='StandardizedPolicy', threshold=-0.5)
ON_SCORES = dict(policy=THRESHOLD, gradient='exit_head', exit_input='scores')
ENTERING = dict(supervise='entering')
# Who is better off behind a slice enters; everyone does at first.
BENEFIT = dict(
    policy=THRESHOLD,
    gradient='benefit',
    router=dict(EEQR['router'], init='enter'),
)
WARM = dict(custom_hooks=[dict(type='WarmRoutingHook')])


def methods(
    host: str,
    *,
    patterns: dict | None = None,
    quality: dict | None = None,
    routing: dict | None = None,
    loss_cls: dict | None = VARIFOCAL,
) -> dict:
    """Return the model settings of a host with some of the methods.

    Args:
        host: As in the class names: `DINO`.
        loss_cls: Beside `quality`; None keeps the host's.
    """
    model = dict(type=f'QRPaQ{host}')
    if patterns is not None:
        model['pattern_query'] = patterns
    if routing is not None:
        model['query_routing'] = routing
    if quality is not None:
        head = f'QualityAware{host.removesuffix("PP")}Head'
        model['bbox_head'] = dict(type=head, quality=quality)
        if loss_cls is not None:
            model['bbox_head']['loss_cls'] = loss_cls
    return model


def all_methods(host: str, patterns: dict = PATTERNS) -> dict[str, dict]:
    """Return the host, each method alone, and together."""
    return {
        'host': {},
        'P': methods(host, patterns=patterns),
        'Q': methods(host, quality=QUALITY),
        'PaQ': methods(host, patterns=patterns, quality=QUALITY),
        'QR': methods(host, routing=EEQR),
        'QR + PaQ': methods(host, patterns=patterns, quality=QUALITY, routing=EEQR),
    }


def routed(policy: dict, gradient: str, init: str = 'random', **others) -> dict:
    """Return QR-DINO with another way to route."""
    router = dict(EEQR['router'], init=init)
    settings = dict(EEQR, policy=policy, gradient=gradient, router=router, **others)
    return methods('DINO', routing=settings)


def routed_deformable(**changes) -> dict:
    """Return QR-Deformable-DETR with other settings than the default's."""
    model = methods('DeformableDETR', routing=EEQR | changes)
    if 'supervise' in changes:  # only this head can leave queries out
        model['bbox_head'] = dict(type='QualityAwareDeformableDETRHead')
    return model


def paq(
    patterns: dict | None = None, loss_cls: dict | None = VARIFOCAL, **quality
) -> dict:
    """Return PaQ-DINO with other settings of P, of the assigner, or of Q."""
    confidence = quality.pop('confidence', QUALITY['assigner']['confidence'])
    assigner = dict(QUALITY['assigner'], confidence=confidence)
    return methods(
        'DINO',
        patterns=dict(PATTERNS, **patterns or {}),
        quality=dict(QUALITY, assigner=assigner, **quality),
        loss_cls=loss_cls,
    )


DINO = 'dino_r18_4e_digits.py'
PRETRAINED = 'the backbone from ImageNet weights'

STUDIES = dict(
    methods_dino=Study(
        question='What does each method do to DINO?',
        leaf=DINO,
        variants=all_methods('DINO'),
        # PaQ-DETR Table 6.
        paper={
            'host': (50.3, 50.3),
            'P': (51.4, 50.3),
            'Q': (51.1, 50.3),
            'PaQ': (51.9, 50.3),
        },
    ),
    methods_deformable=Study(
        question='What does each method do to Deformable-DETR (refinement, two-stage)?',
        leaf='_base_/small_deformable_digits.py',
        variants=all_methods('DeformableDETR')
        | {'learned content': methods('DeformableDETR', patterns=STATIC)},
        # PaQ-DETR Table 1, 300 queries, on Deformable-DETR++, which this host is not;
        # QR-DETR Table 1, on a weaker one.
        paper={'PaQ': (48.4, 46.9), 'QR': (43.1, 38.3)},
    ),
    methods_real_dino=Study(
        question='What does each method do to a DINO with a pretrained backbone?',
        leaf='_base_/small_dino_lite0.py',
        variants=all_methods('DINO', PATTERNS_100),
        start=PRETRAINED,
    ),
    methods_real_deformable=Study(
        question=(
            'What does each method do to a Deformable-DETR++ with a pretrained '
            'backbone?'
        ),
        leaf='_base_/small_deformable_pp_lite0.py',
        variants=all_methods('DeformableDETRPP', PATTERNS_100)
        | {'learned content': methods('DeformableDETRPP', patterns=STATIC)},
        start=PRETRAINED,
    ),
    routing_policy=Study(
        question='Which decision rule and which gradient (QR-DETR Sec. 4.1, Eq. 6)?',
        leaf=DINO,
        variants={
            'host': {},
            'threshold, exit heads': routed(THRESHOLD, 'exit_head'),
            'threshold, exit heads on scores': routed(
                THRESHOLD, 'exit_head', exit_input='scores'
            ),
            'threshold, straight-through, all enter at first': routed(
                THRESHOLD, 'straight_through', init='enter'
            ),
            'standardized, straight-through': routed(STANDARDIZED, 'straight_through'),
            'standardized, exit heads': routed(STANDARDIZED, 'exit_head'),
        },
    ),
    routing_text=Study(
        question=(
            'What does each sentence of QR-DETR do on its own host, Deformable-DETR '
            '(one-stage, no refinement)?'
        ),
        leaf='_base_/small_deformable_one_stage_digits.py',
        variants={
            'host': {},
            'QR': routed_deformable(),
            'threshold, exit heads on scores': routed_deformable(**ON_SCORES),
            'exit heads teach the router alone': routed_deformable(
                **ON_SCORES, exit_teaches='router'
            ),
            'QR, only entering supervised': routed_deformable(**ENTERING),
            'QR, shares of Table 2': routed_deformable(
                policy=METHODS['table_2_shares']
            ),
            'to the letter': routed_deformable(
                **ENTERING, **ON_SCORES, exit_teaches='router'
            ),
        },
    ),
    routing_benefit=Study(
        question='Does a router that is told whom a slice helps earn its place (DINO)?',
        leaf=DINO,
        variants={
            'host': {},
            'QR': methods('DINO', routing=EEQR),
            'exit heads, everyone enters': routed(
                dict(type='TopSharePolicy', share=1.0), 'exit_head'
            ),
            'benefit': methods('DINO', routing=EEQR | BENEFIT),
            'benefit, everyone enters': methods(
                'DINO', routing=EEQR | BENEFIT | dict(at_least=1.0)
            ),
            'benefit, standardized': routed(STANDARDIZED, 'benefit'),
            'benefit for the router alone': methods(
                'DINO', routing=EEQR | BENEFIT | dict(exit_teaches='router')
            ),
            'benefit, FFN for all': methods(
                'DINO', routing=EEQR | BENEFIT | dict(ffn_scope='all')
            ),
            'warm': Variant(methods('DINO', routing=EEQR), WARM),
            'warm, benefit': Variant(methods('DINO', routing=EEQR | BENEFIT), WARM),
            'warm, FFN for all': Variant(
                methods('DINO', routing=EEQR | dict(ffn_scope='all')), WARM
            ),
        },
    ),
    routing_benefit_deformable=Study(
        question=(
            'Does a router that is told whom a slice helps earn its place '
            '(Deformable-DETR, one-stage, no refinement)?'
        ),
        leaf='_base_/small_deformable_one_stage_digits.py',
        variants={
            'host': {},
            'QR': routed_deformable(),
            'exit heads, everyone enters': routed_deformable(
                policy=dict(type='TopSharePolicy', share=1.0), gradient='exit_head'
            ),
            'benefit': routed_deformable(**BENEFIT),
            'warm': Variant(routed_deformable(), WARM),
            'warm, benefit': Variant(routed_deformable(**BENEFIT), WARM),
            'first layer left alone': routed_deformable(
                schedule=('self_attn', 'layer', 'cross_attn'),
                policy=dict(
                    self_attn=dict(type='TopSharePolicy', share=1.0),
                    layer=STANDARDIZED,
                    cross_attn=STANDARDIZED,
                ),
            ),
        },
    ),
    fewer_queries=Study(
        question='What does a DINO lose that is trained with fewer queries?',
        leaf=DINO,
        variants={
            'host': {},
            **{
                f'{number} queries': dict(num_queries=number) for number in (20, 15, 10)
            },
        },
    ),
    routing_boxes=Study(
        question='Is the box of a bypassing query refined, or kept (QR-DETR Sec. 4)?',
        leaf=DINO,
        variants={
            'host': {},
            'refined': methods('DINO', routing=EEQR),
            'kept': methods('DINO', routing=dict(EEQR, bypassed_boxes='kept')),
        },
    ),
    routing_parts=Study(
        question='Does a gain of QR come from routing, or from the exit heads?',
        leaf=DINO,
        variants={
            'host': {},
            'exit heads, everyone enters': routed(
                dict(type='TopSharePolicy', share=1.0), 'exit_head'
            ),
            'routing, no exit heads': routed(STANDARDIZED, 'straight_through'),
            'routing and exit heads': routed(STANDARDIZED, 'exit_head'),
        },
    ),
    routing_sites=Study(
        question='Which site costs or gains what (QR-DETR Table 4)?',
        leaf=DINO,
        variants={
            'host': {},
            'all three in turn': methods('DINO', routing=EEQR),
            **{
                f'{site} alone': methods('DINO', routing=dict(EEQR, schedule=[site]))
                for site in ('self_attn', 'cross_attn', 'layer')
            },
        },
    ),
    routing_ffn=Study(
        question='Do bypassing queries skip the FFN (Sec. 5.4c), or not (Eq. 10-11)?',
        leaf=DINO,
        variants={
            scope: methods('DINO', routing=dict(EEQR, ffn_scope=scope))
            for scope in ('routed', 'all')
        },
    ),
    router_start=Study(
        question='Does everyone enter at first, or a random half?',
        leaf=DINO,
        variants={
            # The default rule compares an image's queries: a bias changes nothing.
            init: routed(THRESHOLD, 'straight_through', init=init)
            for init in ('random', 'enter')
        },
    ),
    router_input=Study(
        question='What does the router see?',
        leaf=DINO,
        variants={
            seen: methods(
                'DINO',
                routing=dict(EEQR, router=dict(EEQR['router'], router_input=seen)),
            )
            for seen in ('content_and_position', 'content')
        },
    ),
    quality_confidence=Study(
        question="Is c of Eq. 6 the probability of the object's class, or the highest?",
        leaf=DINO,
        variants={name: paq(confidence=name) for name in ('gt_class', 'max')},
    ),
    quality_normalizer=Study(
        question='What are the one-to-many losses divided by?',
        leaf=DINO,
        variants={name: paq(normalizer=name) for name in ('num_pos', 'num_gt')},
    ),
    varifocal=Study(
        question="Varifocal targets in all class losses, or the host's focal loss?",
        leaf=DINO,
        variants={
            'varifocal': paq(),
            'varifocal, one-to-many only': methods(
                'DINO',
                patterns=PATTERNS,
                quality=dict(QUALITY, loss_cls=METHODS['varifocal']),
                loss_cls=None,
            ),
            'focal': paq(loss_cls=None),
        },
    ),
    weight_mlp=Study(
        question='How wide must the MLP of the pattern weights be?',
        leaf=DINO,
        variants={
            f'{width} wide': paq(dict(hidden_dims=width)) for width in (64, 8, 16, 256)
        },
    ),
    quality_hungarian=Study(
        question='Does L_1:m join one-to-one losses (Eq. 9), or replace (Sec. 3.3)?',
        leaf=DINO,
        variants={'joins': paq(), 'replaces': paq(hungarian='replaces')},
    ),
    pattern_levels=Study(
        question='Is Z fused down to the second finest encoder level, or the finest?',
        leaf=DINO,
        variants={'second finest': paq(), 'finest': paq(dict(finest=True))},
    ),
    varifocal_targets=Study(
        question="Are varifocal targets the IoU, or s of Eq. 6 ('quality scores')?",
        leaf=DINO,
        variants={
            'IoU': paq(),
            's': paq(loss_cls=dict(VARIFOCAL, confidence_weight=0.4)),
        },
    ),
)
