"""Every leaf config builds, has the paper's numbers, and changes only what it may."""

import ast
import copy
import functools
import re

import yaml

from check_each import check_each
from leaves import (
    CITYSCAPES,
    CONFIGS,
    LEAVES,
    MASKS,
    PAPER,
    PAPER_LEAVES,
    PAPER_MASKS,
    build,
    differences,
    read,
    settings,
    upstream_of,
)
from tiny_hosts import REPOSITORY

# What a method may change in a host's config, as dotted paths.
TYPE = {'model.type'}
SELECT_FIRST = 'model.select_first'  # what DINO's family has where the type is ours
R = {'model.query_routing', 'custom_hooks'}
HEAD_TYPE = {'model.bbox_head.type'}
P = {'model.pattern_query'}
H = {'model.hybrid_branch'}
Q = {f'model.bbox_head.{key}' for key in ('type', 'quality', 'loss_cls')}
SCHEDULE = {'max_epochs', 'train_cfg.max_epochs', 'param_scheduler'}
# Of every leaf: how the optimizer's work is done, not what it does.
OPTIMIZER = {'optim_wrapper.constructor', 'optim_wrapper.optimizer.fused'}
QR_RECIPE = SCHEDULE | {
    'optim_wrapper.optimizer.lr',
    'train_dataloader.batch_size',
    'auto_scale_lr.base_batch_size',
}
QUERIES = {'model.num_queries'}
DATA = {
    'model.bbox_head.num_classes',
    'val_evaluator.ann_file',
    'test_evaluator.ann_file',
} | {
    f'{split}_dataloader.dataset.{key}'
    for split in ('train', 'val', 'test')
    for key in ('data_root', 'ann_file', 'data_prefix.img', 'metainfo')
}
# From mmdet's Swin-L DINO with five levels to four and to the improved DINO.
LEVELS = 'num_levels'
SWIN = {
    LEVELS,
    'slower',
    'model.num_feature_levels',
    'model.backbone.out_indices',
    'model.neck.in_channels',
    'model.neck.num_outs',
    f'model.encoder.layer_cfg.self_attn_cfg.{LEVELS}',
    f'model.decoder.layer_cfg.cross_attn_cfg.{LEVELS}',
    'model.bbox_head.loss_cls.loss_weight',
    'model.positional_encoding',
    'model.dn_cfg.group_cfg.num_dn_queries',
    'optim_wrapper.optimizer.lr',
    'optim_wrapper.paramwise_cfg.custom_keys',
}
QR_HOSTS = ('deformable_detr', 'conditional_detr', 'dab_detr')
PAQ_HOSTS = ('deformable_detr_pp', 'dab_deformable_detr', 'dn_deformable_detr')
# Rows of PaQ-DETR that have a row with PaQ beside them.
PAQ_ROWS = (
    *(f'{host}_r50_{row}12e' for host in PAQ_HOSTS for row in ('', '900q_')),
    *(f'dino_{row}' for row in ('r50_12e', 'r50_24e', 'swin_l_12e')),
    *(f'dino_r50_{data}' for data in ('60e_csd', '120e_mssd')),
)
# Their heads say what others publish for the very model.
WITH_PUBLIC_NUMBER = (
    *PAQ_ROWS[:9],
    *(name for name in PAPER_MASKS if not name.startswith('paq')),
)
# What makes another host of DINO.
OF_DINO = TYPE | QUERIES | {'model.bbox_head.type', 'model.dn_cfg'}
OF_TWO_STAGE = SCHEDULE | {'auto_scale_lr.base_batch_size'}
# No dropout, a wide FFN; what else '++' is, the class is.
PLUS_PLUS = TYPE | {
    f'model.{part}.layer_cfg.{setting}'
    for part in ('encoder', 'decoder')
    for setting in ('self_attn_cfg.dropout', 'cross_attn_cfg.dropout', 'ffn_cfg')
}
HOST = {
    **dict.fromkeys(QR_HOSTS, QR_RECIPE),
    'deformable_detr_refine_twostage': OF_TWO_STAGE,
    'deformable_detr_pp': OF_TWO_STAGE | PLUS_PLUS,
    'dab_deformable_detr': OF_DINO,
    'dn_deformable_detr': OF_DINO,
}
EEQR = ('layer', 'self_attn', 'cross_attn')
THRESHOLD = dict(type='ThresholdPolicy')
# How a literal leaf differs from the one beside it; the rule has no threshold.
LITERAL = {
    'model.query_routing.policy.type',
    'model.query_routing.policy.threshold',
} | {
    f'model.query_routing.{key}'
    for key in (
        'gradient',
        'exit_input',
        'exit_teaches',
        'supervise',
        'bypassed_boxes',
    )
}
# All that an ablation changes in how QR-Deformable-DETR routes.
ABLATIONS = dict(
    layer_only=dict(schedule=('layer',)),
    self_attn_only=dict(schedule=('self_attn',)),
    cross_attn_only=dict(schedule=('cross_attn',)),
    concat=dict(regroup='concat'),
    ffn_all=dict(ffn_scope='all'),
    exit_head_threshold=dict(gradient='exit_head', policy=THRESHOLD),
    exit_head_scores=dict(gradient='exit_head', policy=THRESHOLD, exit_input='scores'),
    straight_through_threshold=dict(gradient='straight_through', policy=THRESHOLD),
    table_2_shares=dict(
        policy=dict(
            layer=dict(type='StandardizedPolicy', threshold=0.07),
            self_attn=dict(type='StandardizedPolicy', threshold=0.81),
            cross_attn=dict(type='StandardizedPolicy', threshold=-0.28),
        )
    ),
)
# All that an ablation changes in PaQ-DINO; the parts of Fig. 3 from (a) to (d).
PATTERNS = ('pattern_query',)
ASSIGNER = ('bbox_head', 'quality', 'assigner')
PAQ_ABLATIONS = {
    **{f'{m}_patterns': (PATTERNS, dict(num_patterns=m)) for m in (50, 100, 200, 250)},
    'no_diversity': (PATTERNS, dict(diversity_weight=0.0)),
    **{f'beta_0p{i}': (PATTERNS, dict(diversity_weight=i / 10)) for i in (1, 3, 4)},
    **{f'k_{k}': (ASSIGNER, dict(candidate_topk=k)) for k in (2, 3, 5, 6)},
    **{
        f'gamma_0p{i}': (ASSIGNER, dict(confidence_weight=i / 10)) for i in (2, 3, 5, 6)
    },
    'finest': (PATTERNS, dict(finest=True)),
    'replaces': (ASSIGNER[:2], dict(hungarian='replaces')),
    'hybrid': ((), dict(hybrid_branch=dict(num_queries=1500, num_repeats=6))),
}


def allowed(name: str) -> set[str]:
    """What a leaf may change in upstream's config, read off its name."""
    method = name.split('_')[0]
    host = re.sub('^(qr|paq|qrpaq)_', '', re.split('_r50|_swin_l', name)[0])
    changes = OPTIMIZER | set(HOST.get(host, ()))
    if 'swin_l' in name:
        changes |= SWIN
    if '900q' in name:
        changes |= QUERIES
    if not re.search('_12e', name):
        changes |= SCHEDULE
    if name.endswith('sd'):
        changes |= DATA
    if name.endswith('hybrid'):
        changes |= TYPE | H
    if '_masks' in name:
        changes |= TYPE | MASKS
    if name.endswith('cityscapes'):
        changes |= CITYSCAPES
    if method in ('qr', 'qrpaq'):
        changes |= TYPE | R
    if name.endswith('_literal'):
        changes |= HEAD_TYPE
    if method in ('paq', 'qrpaq'):
        changes |= TYPE
        changes |= P if not name.endswith('q_only') else set()
        changes |= Q if not name.endswith('p_only') else set()
    return changes | ({SELECT_FIRST} if TYPE <= changes else set())


def test_a_leaf_changes_only_what_its_method_may():
    def check(name):
        found = differences(settings(name), settings(upstream_of(LEAVES[name])))
        assert not {
            item
            for item in found
            if not any(item == a or item.startswith(f'{a}.') for a in allowed(name))
        }

    check_each(check, PAPER_LEAVES)


# A leaf, another to compare it with, and all that differs.
PAIRS = (
    [(f'qr_{host}_r50_12e', f'{host}_r50_12e', TYPE | R) for host in QR_HOSTS]
    + [
        (f'qr_{host}_r50_12e_literal', f'qr_{host}_r50_12e', LITERAL | HEAD_TYPE)
        for host in QR_HOSTS
    ]
    + [(f'paq_{name}', name, TYPE | P | Q) for name in PAQ_ROWS]
    + [(f'{host}_r50_900q_12e', f'{host}_r50_12e', QUERIES) for host in PAQ_HOSTS]
    + [
        (f'{host}_r50_{data}', f'{host}_r50_12e', SCHEDULE | DATA)
        for host in ('dino', 'dab_deformable_detr', 'dn_deformable_detr')
        for data in ('60e_csd', '120e_mssd')
    ]
    + [
        ('dino_r50_24e', 'dino_r50_12e', SCHEDULE),
        ('dino_r50_12e_hybrid', 'dino_r50_12e', TYPE | H),
        ('paq_dino_r50_12e_hybrid', 'dino_r50_12e_hybrid', P | Q),
        ('qrpaq_dino_r50_12e', 'paq_dino_r50_12e', R),
        ('qrpaq_dino_r50_12e', 'qr_dino_r50_12e', P | Q),
        ('qr_dino_r18_4e_digits', 'dino_r18_4e_digits', TYPE | R),
        ('paq_dino_r18_4e_digits', 'dino_r18_4e_digits', TYPE | P | Q),
        ('qrpaq_dino_r18_4e_digits', 'paq_dino_r18_4e_digits', R),
    ]
)


def test_leaves_to_compare_differ_in_the_method_alone():
    def check(name, beside, changes):
        found = differences(settings(name), settings(beside))
        # The parts of a loss of another type are listed one by one.
        found = {re.sub(r'(loss_cls)\..*', r'\1', item) for item in found}
        assert found - {SELECT_FIRST} == changes, beside

    check_each(check, PAIRS)


def test_an_ablation_changes_one_thing():
    def check(suffix, changes):
        parent = copy.deepcopy(settings('qr_deformable_detr_r50_12e'))
        parent['model']['query_routing'].update(changes)
        assert settings(f'qr_deformable_detr_r50_12e_{suffix}') == parent

    check_each(check, ABLATIONS.items())


def test_an_ablation_of_paq_changes_one_thing():
    def check(suffix, change):
        parent = copy.deepcopy(settings('paq_dino_r50_12e'))
        path, changes = change
        functools.reduce(dict.__getitem__, path, parent['model']).update(changes)
        assert settings(f'paq_dino_r50_12e_{suffix}') == parent

    check_each(check, PAQ_ABLATIONS.items())


def test_every_ablation_is_listed():
    found = {path.stem for path in (CONFIGS / 'ablations').glob('*.py')}
    listed = {f'qr_deformable_detr_r50_12e_{suffix}' for suffix in ABLATIONS}
    suffixes = {*PAQ_ABLATIONS, 'p_only', 'q_only'}
    listed |= {f'paq_dino_r50_12e_{suffix}' for suffix in suffixes}
    assert found == listed | {'dino_r50_12e_hybrid'}


def test_swin_l_is_the_only_difference_to_resnet():
    check_each(check_swin_l, ['', 'paq_'])


def check_swin_l(method):
    name = f'{method}dino_swin_l_12e'
    found = differences(settings(name), settings(f'{method}dino_r50_12e'))
    names = {'pretrained', LEVELS, 'slower'}  # variables, used by nothing
    rest = {item for item in found - names if not item.startswith('model.backbone.')}
    assert rest == {'model.neck.in_channels', 'model.num_feature_levels'}

    model = read(name).model
    assert model.num_feature_levels == 4  # the default, not written in the other
    widths = [model.backbone.embed_dims * 2**i for i in model.backbone.out_indices]
    assert model.neck.in_channels == widths == [384, 768, 1536]
    assert model.backbone.init_cfg.checkpoint.endswith('_22k.pth')


def test_a_leaf_builds_without_a_download():
    check_each(check_built, LEAVES)


def check_built(name):
    detector = build(name)
    model = read(name).model
    assert type(detector).__name__ == model.type
    assert detector.num_queries == model.num_queries
    if 'query_routing' in model:
        sites = ABLATIONS.get(name.partition('12e_')[2], {}).get('schedule', EEQR)
        times = model.decoder.num_layers // len(sites)
        assert [layer.site for layer in detector.routed_layers] == [*sites] * times
    else:
        assert not getattr(detector, 'routed_layers', [])
    extra = getattr(detector, 'hybrid_queries', None)
    number = model.get('hybrid_branch', {}).get('num_queries', 0)
    assert number == (0 if extra is None else extra.num_embeddings)
    gradient = model.get('query_routing', {}).get('gradient')
    has_exit_heads = getattr(detector, 'exit_heads', None) is not None
    assert has_exit_heads == (gradient == 'exit_head')


def test_a_leaf_says_what_it_is():
    check_each(check_header, LEAVES)


def check_header(name):
    text = LEAVES[name].read_text()
    header = ast.get_docstring(ast.parse(text))
    command = f'mim train mmdet_qrpaq configs/{LEAVES[name].relative_to(CONFIGS)}'
    shell = re.sub(r'\\\n\s+', '', text).splitlines()  # as pasted
    gpus = ' --gpus 8 --launcher pytorch' if name in PAPER_LEAVES else ''
    assert command + gpus in shell
    assert 'Measured' in header
    assert len(text.splitlines()) <= 30
    if name in PAPER:
        source, *numbers = PAPER[name]
        expected = re.search(r'Expected \(paper\):.*', header).group()
        assert source in header
        for metric, number in zip(('AP', 'AP50', 'AP75'), numbers, strict=False):
            assert f'{metric} {number}' in expected
        if name in WITH_PUBLIC_NUMBER:
            assert re.search(r'Should meet: (\d\d\.\d AP|no public number)', header)
    elif name in PAPER_LEAVES:
        assert 'Not in the papers' in header or 'no number' in header


def test_leaf_names_are_unique():
    # `mim train mmdet_qrpaq NAME.py` finds a config by its file name.
    names = [path.name for path in CONFIGS.rglob('*.py')]
    assert len(names) == len(set(names))


def test_leaf_names_follow_the_grammar():
    """`configs/README.md` names every word that a leaf's name has."""
    grammar = (CONFIGS / 'README.md').read_text()
    words = {
        part: re.findall('`([^`]+)`', cells)
        for part, cells in re.findall(r'^\| ([A-Z]+) \| (.+?) \|', grammar, re.M)
    }

    def one_of(part: str) -> str:
        return '|'.join(map(re.escape, words[part]))

    name = (
        f'(?:(?:{one_of("METHOD")})_)?(?:{one_of("HOST")})_(?:{one_of("BACKBONE")})'
        f'(?:_(?:{one_of("QUERIES")}))?_(?:{one_of("SCHEDULE")})'
        f'(?:_(?:{one_of("DATA")}))?(?:_masks)?(?:_(?:{one_of("READING")}))?'
    )

    def check(path):
        part = r'_\w+' if path.parent.name == 'ablations' else ''
        assert re.fullmatch(name + part, path.stem)

    check_each(check, [(path,) for path in sorted(LEAVES.values())])


def rows(page: str) -> dict[str, tuple[str, str]]:
    """Link and expected AP of the configs in the tables of a page."""
    found = re.findall(
        r'^\| \[(\w+)\]\(([^)]+)\) \|[^|]+\| ([^|]+) \|',
        (REPOSITORY / page).read_text(),
        re.M,
    )
    assert len({name for name, *_ in found}) == len(found)
    return {name: (link, number) for name, link, number in found}


def test_a_page_lists_every_config_with_the_papers_number():
    of_paper = {
        name: (
            str(LEAVES[name].relative_to(REPOSITORY)),
            str(PAPER[name][1]) if name in PAPER else '-',
        )
        for name in PAPER_LEAVES
    }
    assert rows('docs/configs.md') == {
        name: (f'../{link}', number) for name, (link, number) in of_paper.items()
    }
    readme = rows('README.md')
    assert readme and readme.items() <= of_paper.items()


def test_the_index_tells_the_papers_numbers_from_results():
    index = yaml.safe_load((REPOSITORY / 'model-index.yml').read_text())
    found = {model['Name']: model for model in index['Models']}
    # Ablations are for who reads the paper, not for who looks for a model.
    models = [name for name in PAPER_LEAVES if LEAVES[name].parent == CONFIGS]
    assert sorted(found) == sorted(models)
    for name, model in found.items():
        said = model['Metadata']
        assert model['Results'] == []  # until one is trained
        numbers = said.get('Paper Box AP'), said.get('Paper Mask AP')
        source, box, *_ = PAPER.get(name, ('none', None))
        assert numbers == (box, PAPER_MASKS.get(name)), name
        assert said['Source of Paper Numbers'].replace(',', '').startswith(source)
