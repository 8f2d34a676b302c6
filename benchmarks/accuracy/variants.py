"""What the variants of the studies are made of."""

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
DINO = 'dino_r18_4e_digits.py'


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
