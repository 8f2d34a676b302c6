"""Every leaf config builds, has the paper's numbers, and changes only what it may."""

import ast
import copy
import functools
import re
from pathlib import Path

import pytest
import torch
import yaml
from mmdet.registry import MODELS
from mmengine.config import Config

from tiny_hosts import REPOSITORY

CONFIGS = REPOSITORY / 'configs'
LEAVES = {
    path.stem: path
    for path in sorted(CONFIGS.rglob('*.py'))
    if '_base_' not in path.parts
}
# The others are for demonstration.
COCO_LEAVES = [name for name in LEAVES if 'digits' not in name]

# AP, AP50 and AP75 in the tables of the papers, retyped from there.
PAPER = {
    'paq_dino_r50_12e': ('PaQ-DETR Table 1', 51.9, 69.1, 56.3),
    'paq_dino_r50_24e': ('PaQ-DETR Table 1', 52.6, 69.7, 56.9),
    'paq_dino_r50_12e_p_only': ('PaQ-DETR Table 6', 51.4, 69.0, 56.0),
    'paq_dino_r50_12e_q_only': ('PaQ-DETR Table 6', 51.1, 68.4, 55.5),
    'deformable_detr_pp_r50_12e': ('PaQ-DETR Table 1', 46.9, 65.6, 51.1),
    'dab_deformable_detr_r50_12e': ('PaQ-DETR Table 1', 48.0, 66.2, 52.4),
    'dn_deformable_detr_r50_12e': ('PaQ-DETR Table 1', 47.3, 65.1, 51.5),
    'paq_deformable_detr_pp_r50_12e': ('PaQ-DETR Table 1', 48.4, 66.9, 52.6),
    'paq_dab_deformable_detr_r50_12e': ('PaQ-DETR Table 1', 49.2, 67.7, 53.6),
    'paq_dn_deformable_detr_r50_12e': ('PaQ-DETR Table 1', 48.9, 66.8, 53.2),
    'deformable_detr_r50_12e': ('QR-DETR Table 1', 38.3, 58.0, 41.3),
    'conditional_detr_r50_12e': ('QR-DETR Table 1', 36.6, 57.3, 40.1),
    'dab_detr_r50_12e': ('QR-DETR Table 1', 42.2, 63.1, 45.7),
    'qr_deformable_detr_r50_12e': ('QR-DETR Table 1', 43.1, 62.2, 46.4),
    'qr_conditional_detr_r50_12e': ('QR-DETR Table 1', 39.9, 60.9, 41.4),
    'qr_dab_detr_r50_12e': ('QR-DETR Table 1', 43.7, 63.2, 47.3),
    'qr_deformable_detr_r50_12e_layer_only': ('QR-DETR Table 4', 23.1, 36.5, 24.8),
    'qr_deformable_detr_r50_12e_self_attn_only': ('QR-DETR Table 4', 40.6, 58.7, 44.1),
    'qr_deformable_detr_r50_12e_cross_attn_only': ('QR-DETR Table 4', 32.5, 50.3, 35.5),
    'qr_deformable_detr_r50_12e_concat': ('QR-DETR Table 5', 19.1),
    'qr_deformable_detr_r50_12e_exit_head_threshold': ('QR-DETR Table 1', 43.1),
    'qr_deformable_detr_r50_12e_exit_head_scores': ('QR-DETR Table 1', 43.1),
}

# What a method may change in a host's config, as dotted paths.
TYPE = {'model.type'}
R = {'model.query_routing', 'custom_hooks'}
P = {'model.pattern_query'}
Q = {f'model.bbox_head.{key}' for key in ('type', 'quality', 'loss_cls')}
SCHEDULE = {'max_epochs', 'train_cfg.max_epochs', 'param_scheduler'}
QR_RECIPE = SCHEDULE | {
    'optim_wrapper.optimizer.lr',
    'train_dataloader.batch_size',
    'auto_scale_lr.base_batch_size',
}
QR_HOSTS = ('deformable_detr', 'conditional_detr', 'dab_detr')
PAQ_HOSTS = ('deformable_detr_pp', 'dab_deformable_detr', 'dn_deformable_detr')
# What makes another host of DINO.
OF_DINO = TYPE | {'model.bbox_head.type', 'model.num_queries', 'model.dn_cfg'}
HOST = {
    **dict.fromkeys(QR_HOSTS, QR_RECIPE),
    'deformable_detr_pp': SCHEDULE | {'auto_scale_lr.base_batch_size'},
    'dab_deformable_detr': OF_DINO,
    'dn_deformable_detr': OF_DINO,
}
EEQR = ('layer', 'self_attn', 'cross_attn')
THRESHOLD = dict(type='ThresholdPolicy')
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
)


@functools.cache
def read(name: str) -> Config:
    """A leaf by its name, or upstream's config by its `mmdet::` path. Not to change."""
    if '::' in name:  # as a base, since mmengine then adds `_scope_` to it
        return Config.fromstring(f'_base_ = [{name!r}]', '.py')
    return Config.fromfile(LEAVES[name])


@functools.cache
def build(name: str) -> torch.nn.Module:
    with torch.device('meta'):  # all of the structure, none of the numbers
        return MODELS.build(copy.deepcopy(read(name).model))


@functools.cache
def named_parts() -> set[str]:
    """What bases only offer to leaves."""
    parts = ('methods', 'qr_recipe', 'digits')
    return set().union(
        *(Config.fromfile(CONFIGS / '_base_' / f'{part}.py') for part in parts)
    )


@functools.cache
def settings(name: str) -> dict:
    """What a config sets, without the parts that a leaf may or may not bind."""
    config = read(name)._cfg_dict.to_dict()
    return {key: value for key, value in config.items() if key not in named_parts()}


def upstream_of(path: Path) -> str | None:
    """The `mmdet::` config that a leaf stands on, through its chain of bases."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == '_base_':
            bases = ast.literal_eval(node.value)
            for base in [bases] if isinstance(bases, str) else bases:
                if base.startswith('mmdet::'):
                    return base
                if found := upstream_of((path.parent / base).resolve()):
                    return found
    return None


def differences(ours, theirs, prefix: str = '') -> set[str]:
    """Dotted paths at which two nested dicts differ."""
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        return set() if ours == theirs else {prefix}
    found = set()
    for key in ours.keys() | theirs.keys():
        path = f'{prefix}.{key}' if prefix else key
        if key not in ours or key not in theirs:
            found.add(path)
        else:
            found |= differences(ours[key], theirs[key], path)
    return found


def allowed(name: str) -> set[str]:
    """What a leaf may change in upstream's config, read off its name."""
    method = name.split('_')[0]
    host = re.sub('^(qr|paq|qrpaq)_', '', name.partition('_r50')[0])
    changes = set(HOST.get(host, ()))
    if '24e' in name:
        changes |= SCHEDULE
    if method in ('qr', 'qrpaq'):
        changes |= TYPE | R
    if method in ('paq', 'qrpaq'):
        changes |= TYPE
        changes |= P if not name.endswith('q_only') else set()
        changes |= Q if not name.endswith('p_only') else set()
    return changes


@pytest.mark.parametrize('name', COCO_LEAVES)
def test_a_leaf_changes_only_what_its_method_may(name):
    found = differences(settings(name), settings(upstream_of(LEAVES[name])))
    assert not {
        item
        for item in found
        if not any(item == a or item.startswith(f'{a}.') for a in allowed(name))
    }


@pytest.mark.parametrize(
    'name, beside, changes',
    [(f'qr_{host}_r50_12e', f'{host}_r50_12e', TYPE | R) for host in QR_HOSTS]
    + [(f'paq_{host}_r50_12e', f'{host}_r50_12e', TYPE | P | Q) for host in PAQ_HOSTS]
    + [
        ('qrpaq_dino_r50_12e', 'paq_dino_r50_12e', R),
        ('qrpaq_dino_r50_12e', 'qr_dino_r50_12e', P | Q),
        ('qr_dino_r18_4e_digits', 'dino_r18_4e_digits', TYPE | R),
        ('paq_dino_r18_4e_digits', 'dino_r18_4e_digits', TYPE | P | Q),
        ('qrpaq_dino_r18_4e_digits', 'paq_dino_r18_4e_digits', R),
    ],
)
def test_leaves_to_compare_differ_in_the_method_alone(name, beside, changes):
    found = differences(settings(name), settings(beside))
    # The parts of a loss of another type are listed one by one.
    assert {re.sub(r'(loss_cls)\..*', r'\1', item) for item in found} == changes


@pytest.mark.parametrize('host', PAQ_HOSTS)
def test_the_rows_with_300_queries_have_the_numbers_of_paq_detr_section_4_1(host):
    for name in (f'{host}_r50_12e', f'paq_{host}_r50_12e'):
        config = read(name)
        assert config.model.num_queries == 300
        assert config.train_cfg.max_epochs == config.max_epochs == 12
        (scheduler,) = config.param_scheduler
        assert (scheduler.milestones, scheduler.end) == ([11], 12)
        assert config.optim_wrapper.optimizer.lr == 2e-4
        assert config.optim_wrapper.optimizer.weight_decay == 1e-4
        assert config.auto_scale_lr.base_batch_size == 16
        assert config.train_dataloader.batch_size == 2  # on 8 devices: 16
    assert config.model.pattern_query == read('paq_dino_r50_12e').patterns_300
    assert config.model.pattern_query.num_patterns == 50


@pytest.mark.parametrize('suffix', ABLATIONS)
def test_an_ablation_changes_one_thing(suffix):
    parent = copy.deepcopy(settings('qr_deformable_detr_r50_12e'))
    parent['model']['query_routing'].update(ABLATIONS[suffix])
    assert settings(f'qr_deformable_detr_r50_12e_{suffix}') == parent


def test_every_ablation_of_routing_is_listed():
    found = {path.stem for path in (CONFIGS / 'ablations').glob('qr_*.py')}
    assert found == {f'qr_deformable_detr_r50_12e_{suffix}' for suffix in ABLATIONS}


@pytest.mark.parametrize('name', LEAVES)
def test_a_leaf_builds_without_a_download(name):
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
    gradient = model.get('query_routing', {}).get('gradient')
    has_exit_heads = getattr(detector, 'exit_heads', None) is not None
    assert has_exit_heads == (gradient == 'exit_head')


@pytest.mark.parametrize('name', LEAVES)
def test_a_leaf_says_what_it_is(name):
    text = LEAVES[name].read_text()
    header = ast.get_docstring(ast.parse(text))
    command = f'mim train mmdet_qrpaq configs/{LEAVES[name].relative_to(CONFIGS)}'
    assert command in ' '.join(header.replace('\\\n', ' ').split())
    assert 'Measured' in header
    assert len(text.splitlines()) <= 30
    if name in PAPER:
        source, *numbers = PAPER[name]
        expected = re.search(r'Expected \(paper\):.*', header).group()
        assert source in header
        for metric, number in zip(('AP', 'AP50', 'AP75'), numbers, strict=False):
            assert f'{metric} {number}' in expected
    elif name in COCO_LEAVES:
        assert 'Not in the papers' in header or 'no number' in header


def test_leaf_names_are_unique():
    # `mim train mmdet_qrpaq NAME.py` finds a config by its file name.
    names = [path.name for path in CONFIGS.rglob('*.py')]
    assert len(names) == len(set(names))


@pytest.mark.parametrize('name', COCO_LEAVES)
def test_the_readme_lists_it_with_the_papers_number(name):
    path = LEAVES[name].relative_to(REPOSITORY)
    readme = (REPOSITORY / 'README.md').read_text()
    row = re.search(rf'\| \[{name}\]\({path}\) \|[^|]+\| ([^|]+) \|', readme)
    assert row, f'README.md has no row for {name}'
    assert row[1] == (str(PAPER[name][1]) if name in PAPER else '-')


def test_the_index_has_the_papers_numbers():
    index = yaml.safe_load((REPOSITORY / 'model-index.yml').read_text())
    found = {
        model['Name']: [result['Metrics'] for result in model['Results']]
        for model in index['Models']
    }
    # Ablations are for who reads the paper, not for who looks for a model.
    models = [name for name in COCO_LEAVES if LEAVES[name].parent == CONFIGS]
    assert found == {
        name: [{'box AP (paper)': PAPER[name][1]}] if name in PAPER else []
        for name in models
    }
