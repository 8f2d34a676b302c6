"""What is compared with what, in pairs: each study is a leaf and its variants.

A variant is a dict of model settings laid over the leaf, or a `Variant` with other
settings, too. The first is what the others are compared with. Trained by `paired.py`,
summed up by `benchmarks/tables.py`.
"""

from benchmarks.accuracy.routing_studies import ROUTING_STUDIES
from benchmarks.accuracy.variants import (
    DINO,
    METHODS,
    PATTERNS,
    PATTERNS_100,
    QUALITY,
    STATIC,
    VARIFOCAL,
    Study,
    all_methods,
    methods,
)

PRETRAINED = 'the backbone from ImageNet weights'


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
    **ROUTING_STUDIES,
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
