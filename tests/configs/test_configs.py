"""Every leaf config builds, has the paper's numbers, and changes only what it may."""

import ast
from pathlib import Path

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config

from tiny_hosts import REPOSITORY

CONFIGS = REPOSITORY / 'configs'
LEAVES = sorted(path for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts)
# Leaves that reproduce a row of the paper; the others are for demonstration.
PAPER_LEAVES = [path for path in LEAVES if 'digits' not in path.stem]

# What a method may change in upstream's model, as dotted paths.
P = {'pattern_query'}
Q = {'bbox_head.type', 'bbox_head.quality', 'bbox_head.loss_cls'}
SCHEDULE = {'max_epochs', 'train_cfg.max_epochs', 'param_scheduler'}
# Names, not settings: the fragments of `_base_/methods.py`.
FRAGMENTS = {
    'custom_imports',
    'patterns_300',
    'patterns_900',
    'quality',
    'varifocal',
}


def ids(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


def upstream_of(path: Path) -> str:
    """The `mmdet::` config a leaf stands on, through its chain of bases."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == '_base_':
            bases = ast.literal_eval(node.value)
            for base in [bases] if isinstance(bases, str) else bases:
                if base.startswith('mmdet::'):
                    return base
                if '_base_' not in Path(base).parts:
                    return upstream_of((path.parent / base).resolve())
    raise AssertionError(f'{path} has no mmdet base')


def upstream_config(path: Path, tmp_path: Path) -> Config:
    bare = tmp_path / 'upstream.py'
    bare.write_text(f'_base_ = [{upstream_of(path)!r}]\n')
    return Config.fromfile(bare)


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


def allowed(path: Path) -> set[str]:
    """What a leaf may change, read off its name."""
    stem = path.stem
    changes = FRAGMENTS | {'model.type'}
    if not stem.endswith('q_only'):
        changes |= {f'model.{key}' for key in P}
    if not stem.endswith('p_only'):
        changes |= {f'model.{key}' for key in Q}
    if '24e' in stem:
        changes |= SCHEDULE | {'train_cfg', 'train_cfg.max_epochs'}
    return changes


@pytest.mark.parametrize('path', PAPER_LEAVES, ids=ids(PAPER_LEAVES))
def test_a_leaf_changes_only_what_its_method_may(path, tmp_path):
    found = differences(
        Config.fromfile(path)._cfg_dict.to_dict(),
        upstream_config(path, tmp_path)._cfg_dict.to_dict(),
    )
    unexpected = {
        item
        for item in found
        if not any(item == a or item.startswith(f'{a}.') for a in allowed(path))
    }
    assert not unexpected


@pytest.mark.parametrize('path', LEAVES, ids=ids(LEAVES))
def test_a_leaf_builds_without_a_download(path):
    model = Config.fromfile(path).model
    detector = MODELS.build(model)
    assert type(detector).__name__ == model.type


@pytest.mark.parametrize('path', LEAVES, ids=ids(LEAVES))
def test_a_leaf_says_what_it_is(path):
    text = path.read_text()
    header = ast.get_docstring(ast.parse(text))
    assert f'mim train mmdet_qrpaq configs/{path.relative_to(CONFIGS)}' in header
    assert 'Measured' in header
    if path in PAPER_LEAVES:
        assert 'Expected (paper)' in header and 'Table' in header
        assert len(text.splitlines()) <= 35


def test_leaf_names_are_unique():
    # `mim train mmdet_qrpaq NAME.py` finds a config by its file name.
    names = [path.name for path in CONFIGS.rglob('*.py')]
    assert len(names) == len(set(names))


@pytest.mark.parametrize('name, epochs, milestone', [('12e', 12, 11), ('24e', 24, 20)])
def test_the_recipe_of_section_4_1(name, epochs, milestone):
    cfg = Config.fromfile(CONFIGS / f'paq_dino_r50_{name}.py')
    assert cfg.optim_wrapper.optimizer.type == 'AdamW'
    assert cfg.optim_wrapper.optimizer.lr == 2e-4
    assert cfg.optim_wrapper.optimizer.weight_decay == 1e-4
    assert cfg.auto_scale_lr.base_batch_size == 16
    assert cfg.train_dataloader.batch_size == 2  # on 8 devices: 16
    assert cfg.train_cfg.max_epochs == epochs
    (scheduler,) = cfg.param_scheduler
    assert scheduler.milestones == [milestone] and scheduler.gamma == 0.1
    assert scheduler.end == epochs

    model = cfg.model
    assert model.num_queries == 900
    assert model.pattern_query.num_patterns == 150
    assert model.pattern_query.diversity_weight == 0.2
    assigner = model.bbox_head.quality.assigner
    assert (assigner.candidate_topk, assigner.min_positives) == (4, 1)
    assert assigner.confidence_weight == 0.4
    assert model.bbox_head.quality.layers == 'intermediate'
