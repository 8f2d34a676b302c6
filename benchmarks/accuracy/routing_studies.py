"""The studies of query routing: who enters, how the router learns, what it sees."""

from benchmarks.accuracy.variants import DINO, EEQR, METHODS, Study, Variant, methods

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


ROUTING_STUDIES = dict(
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
)
