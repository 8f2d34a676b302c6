"""Which runs a sweep has, and what its options do to their configs."""

import json
from pathlib import Path

import pytest

from mmdet_qrpaq.data.image_sizes import longest_side
from mmdet_qrpaq.data.plan import fit
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.formats.folder import open_folder
from mmdet_qrpaq.sweeps.plan import plan_run, plan_sweep
from mmdet_qrpaq.sweeps.scale import Scale
from tiny_hosts import REPOSITORY
from tiny_runs import CLASSES, CONFIG, write_dataset

PATTERNS = 'model.pattern_query.num_patterns'
HOSTS = {
    'dino_r50_12e': (100, (1, 2, 3)),
    'deformable_detr_r50_12e': (100, (1, 2, 3)),
    'deformable_detr_pp_r50_12e': (100, (1, 2, 3)),
    'conditional_detr_r50_12e': (100, (3,)),
    'dab_detr_r50_12e': (100, (3,)),
    'dab_deformable_detr_r50_12e': (100, (1, 2, 3)),
    'dn_deformable_detr_r50_12e': (100, (1, 2, 3)),
    'dino_swin_l_12e': (100, (1, 2, 3)),
}


def leaf(name: str) -> str:
    return str(REPOSITORY / 'configs' / f'{name}.py')


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as `--data` takes it."""
    root = write_dataset(tmp_path_factory.mktemp('flat') / 'shapes')
    for split in ('train', 'val'):
        (root / f'{split}.json').rename(root / f'instances_{split}.json')
    return root


@pytest.fixture(scope='module')
def config(folder: Path) -> str:
    """A config that expects its data elsewhere, with classes of other names."""
    path = folder.parent / 'tiny_dino.py'
    path.write_text(CONFIG.format(classes=('cat',), root='/nowhere'))
    return str(path)


def plan(config: str, folder: Path, scale: Scale | None = None, **options):
    return plan_run('x', 0, config, scale or Scale(), opened(folder), options)


def opened(folder: Path):
    return open_folder(folder.absolute(), folder.parent / 'converted')


def test_leaves_by_values_by_seeds(config: str, folder: Path) -> None:
    """Seed by seed; values are read as in `--cfg-options`."""
    grid = ['model.num_queries', '10', '20']
    runs = plan_sweep([config], [3, 1, 3], Scale(), opened(folder), {}, grid)
    assert [(run.variant, run.seed) for run in runs] == [
        ('tiny_dino, num_queries=10', 3),
        ('tiny_dino, num_queries=20', 3),
        ('tiny_dino, num_queries=10', 1),
        ('tiny_dino, num_queries=20', 1),
    ]
    assert [run.config.model.num_queries for run in runs] == [10, 20, 10, 20]
    assert [run.config.randomness.seed for run in runs] == [3, 3, 1, 1]
    assert runs[0].file_name == 'tiny_dino_num_queries_10_seed3'


def test_the_sign_of_a_value_is_in_the_name(config: str, folder: Path) -> None:
    """Both would be one folder, and the second would find the first one's model."""
    grid = ['randomness.offset', '-0.5', '0.5']
    names = [
        run.file_name
        for run in plan_sweep([config], [0], Scale(), opened(folder), {}, grid)
    ]
    assert names == ['tiny_dino_offset_-0.5_seed0', 'tiny_dino_offset_0.5_seed0']


def test_common_options_reach_every_run(folder: Path) -> None:
    leaves = [leaf('dino_r50_12e'), leaf('paq_dino_r50_12e')]
    options = {'optim_wrapper.optimizer.lr': 0.5}
    runs = plan_sweep(leaves, [0], Scale(), opened(folder), options)
    assert [run.variant for run in runs] == ['dino_r50_12e', 'paq_dino_r50_12e']
    assert {run.config.optim_wrapper.optimizer.lr for run in runs} == {0.5}
    assert runs[0].options == options


@pytest.mark.parametrize(
    ('grid', 'message'),
    [
        (['model.num_queries'], 'give a setting and its values'),
        (['model.num_queries=3', '4'], 'give a setting and its values'),
    ],
)
def test_a_grid_without_values(
    config: str, folder: Path, grid: list, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_sweep([config], [0], Scale(), opened(folder), {}, grid)


def test_the_same_leaf_twice(config: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match='tiny_dino is given twice'):
        plan_sweep([config, config], [0], Scale(), opened(folder))


def test_data_of_a_folder_reaches_every_place(config: str, folder: Path) -> None:
    cfg = plan(config, folder).config
    for loader, split in (
        (cfg.train_dataloader, 'train'),
        (cfg.val_dataloader, 'val'),
        (cfg.test_dataloader, 'val'),
    ):
        assert loader.dataset.data_root == f'{folder}/'
        assert loader.dataset.ann_file == f'instances_{split}.json'
        assert loader.dataset.data_prefix == dict(img='images/')
        assert tuple(loader.dataset.metainfo.classes) == CLASSES
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert evaluator.ann_file == f'{folder}/instances_val.json'
    assert cfg.model.bbox_head.num_classes == 2
    # Augmentation stays as it was.
    assert [step.type for step in cfg.train_dataloader.dataset.pipeline][2:4] == [
        'RandomFlip',
        'PhotoMetricDistortion',
    ]


def test_the_layout_of_the_docs_is_found_too(config: str, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / 'docs')
    (root / 'annotations').mkdir()
    for split in ('train', 'val'):
        (root / split).mkdir()
        (root / f'{split}.json').rename(root / f'annotations/instances_{split}.json')
        for image in (root / 'images').glob(f'{split}_*'):
            image.rename(root / split / image.name)
    dataset = plan(config, root).config.val_dataloader.dataset
    assert dataset.ann_file == 'annotations/instances_val.json'
    assert dataset.data_prefix.img == 'val/'


def test_data_is_known_by_its_content(config: str, folder: Path, tmp_path) -> None:
    ours = plan(config, folder)
    moved = tmp_path / 'shapes'
    moved.symlink_to(folder)
    assert plan(config, moved).digest == ours.digest
    other = write_dataset(tmp_path / 'other' / 'shapes', num_val=2)
    for split in ('train', 'val'):
        (other / f'{split}.json').rename(other / f'instances_{split}.json')
    described = plan(config, other).data
    assert described['folder'] == 'shapes'
    assert described['train'] == ours.data['train']
    assert described['val'] != ours.data['val']
    assert plan(config, other).digest != ours.digest


def test_a_short_data_root_hides_no_setting(config, folder, monkeypatch) -> None:
    """A root of '.' is cut from paths, not out of numbers."""
    monkeypatch.chdir(folder)
    here = Path()
    elsewhere = plan(config, folder).digest
    assert plan(config, here).digest == elsewhere
    assert plan(config, here, **{'randomness.diff': 1.0}).digest != (
        plan(config, here, **{'randomness.diff': 10}).digest
    )


def test_any_setting_changes_the_digest(config: str, folder: Path) -> None:
    digests = [
        plan(config, folder).digest,
        plan(config, folder, Scale(batch_size=4)).digest,
        plan(config, folder, Scale(epochs=3)).digest,
        plan(config, folder, **{'optim_wrapper.optimizer.lr': 1}).digest,
        plan_run('x', 1, config, Scale(), opened(folder)).digest,
    ]
    assert len(set(digests)) == len(digests)
    # But for its name, and parts of a config that nothing uses.
    same = plan_run('y', 0, config, Scale(), opened(folder), {'unused': 1})
    assert same.digest == digests[0]


@pytest.mark.parametrize('name', HOSTS)
def test_small_fits_every_host(folder: Path, name: str) -> None:
    queries, levels = HOSTS[name]
    scale = Scale(small=True, iterations=40, image_size=96)
    cfg = plan(leaf(name), folder, scale).config
    assert cfg.model.num_queries == cfg.model.test_cfg.max_per_img == queries
    assert cfg.model.backbone.type == 'ResNet' and cfg.model.backbone.depth == 18
    assert cfg.model.backbone.out_indices == levels
    # ResNet-18 has 64, 128, 256 and 512 channels.
    assert cfg.model.neck.in_channels == [64 * 2**level for level in levels]
    assert 'init_cfg' not in cfg.model.backbone
    assert not cfg.model.backbone.norm_eval
    assert cfg.model.encoder.num_layers == 1 and cfg.model.decoder.num_layers == 3
    assert cfg.train_dataloader.batch_size == 8
    assert longest_side(cfg) == 96


@pytest.mark.parametrize(
    ('name', 'patterns'),
    [
        ('paq_dino_r50_12e', 17),  # 150 * 100 / 900
        ('paq_dab_deformable_detr_r50_12e', 17),  # 50 * 100 / 300
        ('ablations/paq_dino_r50_12e_250_patterns', 28),  # 250 * 100 / 900
    ],
)
def test_small_keeps_the_share_of_patterns(
    folder: Path, name: str, patterns: int
) -> None:
    small = Scale(small=True)
    assert plan(leaf(name), folder, small).config.model.pattern_query.num_patterns == (
        patterns
    )
    # What the command says comes last.
    chosen = plan(leaf(name), folder, small, **{PATTERNS: 5})
    assert chosen.config.model.pattern_query.num_patterns == 5


def test_images_of_one_size_replace_random_ones(folder: Path) -> None:
    cfg = plan(leaf('dino_r50_12e'), folder, Scale(image_size=96)).config
    assert longest_side(cfg) == 96
    for loader, types in (
        (cfg.train_dataloader, ['LoadAnnotations', 'RandomFlip', 'Resize']),
        (cfg.val_dataloader, ['Resize', 'LoadAnnotations']),
    ):
        steps = loader.dataset.pipeline
        assert [step['type'] for step in steps][1:-1] == types
        (resize,) = (step for step in steps if step['type'] == 'Resize')
        assert resize == dict(type='Resize', scale=(96, 96), keep_ratio=True)


def test_a_run_of_other_length_keeps_its_schedule(folder: Path) -> None:
    """12 epochs with a drop at 11 become 24 with one at 22, or 120 iterations at 110.

    Four validations, each with a checkpoint.
    """
    cfg = plan(leaf('dino_r50_12e'), folder, Scale(epochs=24)).config
    assert cfg.train_cfg.max_epochs == 24
    assert cfg.param_scheduler[0].milestones == [22]
    assert cfg.param_scheduler[0].end == 24
    cfg = plan(leaf('dino_r50_12e'), folder, Scale(iterations=120)).config
    assert cfg.param_scheduler[0].milestones == [110]
    assert cfg.param_scheduler[0].by_epoch is False
    assert (cfg.train_cfg.max_iters, cfg.train_cfg.val_interval) == (120, 30)
    assert cfg.default_hooks.checkpoint.interval == 30
    assert cfg.default_hooks.logger.interval == 6


def test_the_warm_up_of_a_short_run_is_short(folder: Path) -> None:
    scale = Scale(small=True, iterations=60)
    warm_up, cosine = plan(leaf('dino_r50_12e'), folder, scale).config.param_scheduler
    assert warm_up.end == 6
    assert (cosine.end, cosine.T_max, cosine.by_epoch) == (60, 60, False)


@pytest.mark.parametrize(
    ('name', 'hooks'),
    [
        ('dino_r50_12e', 0),
        ('qr_dino_r50_12e', 1),  # which has one already
        ('ablations/qr_deformable_detr_r50_12e_ffn_all', 1),
    ],
)
def test_routing_is_logged_once(folder: Path, name: str, hooks: int) -> None:
    found = plan(leaf(name), folder).config.get('custom_hooks') or []
    types = [hook['type'] for hook in found]
    assert types.count('QueryRoutingHook') == hooks


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('val_dataloader = None', 'has no val_dataloader'),
        ('train_cfg = dict(_delete_=True, max_iters=5)', 'counted in epochs'),
        ('model = dict(num_queries=None)', 'has no model.num_queries'),
    ],
)
def test_a_config_that_cannot_be_swept(
    config: str, folder: Path, tmp_path: Path, line: str, message: str
) -> None:
    mine = tmp_path / 'mine.py'
    mine.write_text(f'_base_ = [{config!r}]\n{line}\n')
    with pytest.raises(ConfigError, match=message):
        plan(str(mine), folder)


def test_small_takes_hybrid_branch_and_masks_along(folder: Path) -> None:
    small = Scale(small=True)
    hybrid = leaf('ablations/paq_dino_r50_12e_hybrid')
    branch = plan(hybrid, folder, small).config.model.hybrid_branch
    assert branch.num_queries == 167  # 1500 * 100 / 900
    # Four levels of the backbone, of which the finest goes past the neck.
    model = plan(leaf('deformable_detr_pp_r50_12e_masks'), folder, small).config.model
    assert model.backbone.out_indices == (0, 1, 2, 3)
    assert model.neck.in_channels == [128, 256, 512]


def test_several_data_sets_are_refused(config: str, folder: Path) -> None:
    cfg = plan(config, folder).config
    inner = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[inner, inner])
    with pytest.raises(ConfigError, match='joins 2 data sets'):
        fit(cfg, opened(folder), Scale())


def test_metrics_of_other_kinds_make_room(config: str, folder: Path) -> None:
    cfg = plan(config, folder).config
    cfg.val_evaluator = [dict(type='VOCMetric')]
    fit(cfg, opened(folder), Scale())
    truth = str(folder / 'instances_val.json')
    assert cfg.val_evaluator == dict(type='CocoMetric', metric='bbox', ann_file=truth)


def test_masks_keep_their_metric(config: str, folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / 'mine.py'
    mine.write_text(
        f"_base_ = [{config!r}]\nval_evaluator = dict(metric=['bbox', 'segm'])\n"
    )
    assert plan(str(mine), folder).config.val_evaluator.metric == ['bbox', 'segm']
    truth = json.loads((folder / 'instances_val.json').read_text())
    assert [entry['name'] for entry in truth['categories']] == list(CLASSES)
