"""What is decided for a folder, worked out by hand."""

import math

import pytest
from mmengine.config import Config

from check_each import check_each
from data_folders import CLASSES, coco_one_folder_of_images
from mmdet_qrpaq.data.datasets import only_dataset
from mmdet_qrpaq.data.facts import Facts, look_at
from mmdet_qrpaq.data.image_sizes import fit_image_sizes, image_limits, set_image_size
from mmdet_qrpaq.data.model import fit_queries, set_num_classes
from mmdet_qrpaq.data.options import RunOptions
from mmdet_qrpaq.data.plan import apply_options, fit
from mmdet_qrpaq.data.schedule import fit_intervals, fit_learning_rate, fit_length
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.formats.folder import open_folder
from mmdet_qrpaq.runtime.configs import read_config
from tiny_hosts import REPOSITORY

HOSTS = (
    *('paq_dino_r50_12e', 'qr_deformable_detr_r50_12e_literal'),
    *('conditional_detr_r50_12e', 'dab_detr_r50_12e', 'dino_swin_l_12e'),
    *('paq_dab_deformable_detr_r50_12e', 'dn_deformable_detr_r50_60e_csd'),
    *('paq_deformable_detr_pp_r50_24e_masks_cityscapes', 'paq_dino_r18_4e_digits'),
)


def leaf(name):
    return read_config(str(REPOSITORY / 'configs' / f'{name}.py'))


def facts(images=1000, size=(640, 480), sizes=(), objects=8):
    return Facts(images, size, frozenset([size, *sizes]), objects, 'image a.png')


def said(decisions):
    return '\n'.join(map(str, decisions))


@pytest.fixture
def data(tmp_path):
    coco_one_folder_of_images(tmp_path / 'parts')
    return open_folder(tmp_path / 'parts', tmp_path / 'converted')


def test_facts_of_a_folder(data):
    """Training: 100 x 80, twice 60 x 40, 40 x 60; the median of four in between."""
    found = look_at(data)
    assert found.num_images == 4
    assert found.image_size == (60, 50)
    assert found.image_sizes == {(100, 80), (60, 40), (40, 60)}
    assert (found.most_objects, found.crowded) == (2, 'image one.png')


def test_classes_reach_every_head(data):
    def check(name):
        cfg = leaf(name)
        fit(cfg, data, RunOptions())
        assert cfg.model.bbox_head.num_classes == 3
        for stage in ('train', 'val', 'test'):
            dataset = only_dataset(cfg, stage)
            assert dataset.type == 'CocoDataset'
            assert tuple(dataset.metainfo.classes) == CLASSES
            assert len(dataset.metainfo.palette) == 3

    check_each(check, HOSTS)


def test_heads_in_lists_and_parts_but_not_the_backbone():
    head = dict(num_classes=80)
    cfg = Config(
        dict(
            model=dict(
                backbone=dict(num_classes=1000),
                roi_head=dict(bbox_head=[dict(head), dict(head)], mask_head=dict(head)),
                query_head=dict(head),
            )
        )
    )
    set_num_classes(cfg, 3)
    model = cfg.model
    assert model.backbone.num_classes == 1000
    assert [part.num_classes for part in model.roi_head.bbox_head] == [3, 3]
    assert model.roi_head.mask_head.num_classes == model.query_head.num_classes == 3
    with pytest.raises(ConfigError, match='no head of the model has num_classes'):
        set_num_classes(Config(dict(model=dict(backbone={}))), 3)


def test_masks_are_judged_where_there_is_a_branch(data):
    cfg = leaf('deformable_detr_pp_r50_12e_masks')
    cfg.val_evaluator.metric = 'bbox'
    fit(cfg, data, RunOptions())
    assert cfg.val_evaluator.metric == cfg.test_evaluator.metric == ['bbox', 'segm']
    cfg = leaf('dino_r50_12e')
    fit(cfg, data, RunOptions())
    assert cfg.val_evaluator.metric == 'bbox'


def test_images_that_would_be_left_out_are_kept(data):
    cfg = leaf('dino_r50_12e')
    assert cfg.train_dataloader.dataset.filter_cfg.min_size == 32
    fit(cfg, data, RunOptions())
    assert cfg.train_dataloader.dataset.filter_cfg.min_size == 32  # the least side: 40
    cfg.train_dataloader.dataset.filter_cfg.min_size = 50
    assert 'images from 40 pixels on' in said(fit(cfg, data, RunOptions()))
    assert cfg.train_dataloader.dataset.filter_cfg.min_size == 40


def test_large_images_keep_the_sizes_of_the_config():
    cfg = leaf('dino_r50_12e')
    before = cfg.to_dict()
    words = said(fit_image_sizes(cfg, facts(size=(640, 480)), None))
    # min(1333 / 640, 800 / 480) = 1.67
    assert '1333 x 800' in words and '1.7 times as large' in words
    assert cfg.to_dict() == before


def test_small_images_are_doubled_and_all_sizes_follow():
    """256 x 256 would be 3.125 times as large: all sizes times 2 / 3.125 = 0.64."""
    cfg = leaf('dino_r50_12e')
    fit_image_sizes(cfg, facts(size=(256, 256)), None)
    assert image_limits(cfg) == (853, 512)  # 1333 and 800 times 0.64
    choices = cfg.train_dataloader.dataset.pipeline[3]
    assert choices.type == 'RandomChoice'
    (whole,), (larger, crop, last) = choices.transforms
    assert whole.scales[0] == (307, 853)  # 480 x 1333
    assert larger.scales == [(256, 2688), (320, 2688), (384, 2688)]  # 400, 500, 600
    assert crop.crop_size == (246, 384) and crop.type == 'RandomCrop'  # 384 x 600
    assert last.keep_ratio is True


def test_a_size_that_was_asked_for_is_the_only_one():
    cfg = leaf('dino_r50_12e')
    assert '--image-size' in said(fit_image_sizes(cfg, facts(), 320))
    for stage in ('train', 'val', 'test'):
        steps = cfg[f'{stage}_dataloader'].dataset.pipeline
        assert [s['scale'] for s in steps if s['type'] == 'Resize'] == [(320, 320)]
        assert not {'RandomChoice', 'RandomCrop'} & {step['type'] for step in steps}


def test_each_step_that_resizes_is_found_or_none_is_an_error():
    def sized(*steps):
        loader = dict(dataset=dict(pipeline=[dict(type='LoadImage'), *steps]))
        cfg = Config(dict(train_dataloader=loader, val_dataloader=loader))
        set_image_size(cfg, 320)
        assert image_limits(cfg) == (320, 320)
        return [step['type'] for step in cfg.train_dataloader.dataset.pipeline]

    def check(*steps):
        assert sized(*steps, dict(type='RandomFlip')) == [
            *('LoadImage', 'Resize', 'RandomFlip')
        ]

    class Resize:
        pass

    sides = dict(scale=(1333, 800))
    check_each(
        check,
        [
            (dict(type='mmdet.Resize', **sides),),
            (dict(type=Resize, **sides),),
            (dict(type='FixScaleResize', **sides),),
            (dict(type='mmdet.FixShapeResize', width=64, height=32),),
            (
                dict(type='RandomResize', **sides),
                dict(type='RandomCrop', crop_size=(384, 600)),
            ),
        ],
    )
    with pytest.raises(ConfigError, match='pipeline in train_dataloader resizes'):
        sized(dict(type='RandomCrop', crop_size=(384, 600)))


def test_limits_of_a_scoped_step_and_of_one_number():
    def check(step):
        pipeline = dict(dataset=dict(pipeline=[step]))
        cfg = Config(dict(val_dataloader=pipeline))
        assert image_limits(cfg) == (640, 640)

    check_each(
        check,
        [
            (dict(type='mmdet.Resize', scale=640),),
            (dict(type='mmdet.Resize', scale=(640, 640)),),
        ],
    )


def test_queries_for_the_fullest_image():
    """One and a half an object, in fifties, up to 900, never fewer than before."""

    def check(config, objects, queries, patterns, detections):
        cfg = leaf(config)
        fit_queries(cfg, facts(objects=objects))
        assert cfg.model.num_queries == queries
        assert cfg.model.pattern_query.num_patterns == patterns
        assert cfg.model.test_cfg.max_per_img == detections

    paq = 'paq_deformable_detr_pp_r50_12e'  # 300 queries of 50 patterns
    check_each(
        check,
        [
            (paq, 8, 300, 50, 100),
            (paq, 200, 300, 50, 300),  # 1.5 * 200
            (paq, 201, 350, 58, 350),  # 302 becomes 350; 50 * 350 / 300
            (paq, 371, 600, 100, 600),  # 557
            (paq, 5000, 900, 150, 900),
            ('paq_dino_r50_12e', 371, 900, 150, 600),  # 900 of 150, and 300 detections
        ],
    )


def test_a_two_stage_host_has_no_more_queries_than_positions():
    """128 x 96 pixels have 16 * 12 + 8 * 6 + 4 * 3 + 2 * 2 = 256, 128 x 64 have 170."""

    def check(size, queries, patterns):
        cfg = leaf('paq_dino_r50_12e')
        set_image_size(cfg, 128)
        fit_queries(cfg, facts(sizes=[size]))
        assert cfg.model.num_queries == queries
        assert cfg.model.pattern_query.num_patterns == patterns
        assert cfg.model.test_cfg.max_per_img == min(300, queries)

    # Of 900 queries 150 are patterns.
    check_each(check, [((640, 480), 256, 43), ((640, 320), 170, 28)])
    cfg = leaf('conditional_detr_r50_12e')  # one stage: nothing to choose from
    set_image_size(cfg, 64)
    fit_queries(cfg, facts())
    assert cfg.model.num_queries == 300


def test_learning_rate_of_a_batch():
    def check(optimizer, batch, devices, expected):
        cfg = leaf('dino_r50_12e')  # for batches of 16
        cfg.optim_wrapper.optimizer = dict(type=optimizer, lr=1e-4)
        cfg.train_dataloader.batch_size = batch
        fit_learning_rate(cfg, RunOptions(), devices)
        found = cfg.optim_wrapper.optimizer.lr
        assert math.isclose(found, expected, rel_tol=5e-3), found
        assert cfg.auto_scale_lr.base_batch_size == batch * devices
        assert not cfg.auto_scale_lr.enable

    check_each(
        check,
        [
            ('AdamW', 2, 8, 1e-4),
            ('AdamW', 4, 1, 0.5e-4),  # a quarter: half of it
            ('AdamW', 4, 16, 2e-4),
            ('SGD', 4, 1, 0.25e-4),
            ('SGD', 2, 16, 2e-4),
        ],
    )


def test_a_rate_that_was_asked_for():
    cfg = leaf('dino_r50_12e')
    decided = fit_learning_rate(cfg, RunOptions(lr=3e-4), 1)
    assert cfg.optim_wrapper.optimizer.lr == 3e-4
    assert 'learning rate 0.0003: --lr' in said(decided)
    cfg = leaf('dino_r50_12e')
    cfg.auto_scale_lr = None
    cfg.optim_wrapper.accumulative_counts = 4
    decided = fit_learning_rate(cfg, RunOptions(), 2)
    assert (
        cfg.optim_wrapper.optimizer.lr
        == leaf('dino_r50_12e').optim_wrapper.optimizer.lr
    )
    assert 'batches of 16 images' in said(decided)  # 2 images, 2 devices, 4 steps
    assert 'does not say for which batch' in said(decided)


def test_epochs_of_a_data_set():
    """10,000 mini-batches, 300 epochs at most, never fewer than the config's 12."""

    def check(images, devices, epochs, milestone, interval):
        cfg = leaf('dino_r50_12e')  # two images a device; a drop at 11 of 12
        fit_length(cfg, facts(images=images), RunOptions(), devices)
        fit_intervals(cfg)
        assert cfg.train_cfg.max_epochs == epochs
        (drop,) = cfg.param_scheduler
        assert (drop.end, drop.milestones) == (epochs, [milestone])
        assert cfg.train_cfg.val_interval == interval
        hook = cfg.default_hooks.checkpoint
        assert (hook.interval, hook.save_best) == (interval, 'coco/bbox_mAP')

    check_each(
        check,
        [
            (118_000, 8, 12, 11, 1),
            (1000, 1, 20, 18, 1),  # 500 an epoch
            (1000, 8, 159, 146, 6),  # 63 an epoch; 159 * 11 / 12 = 145.75
            (4, 1, 300, 275, 10),
        ],
    )


def test_repeated_images_count_as_often():
    cfg = leaf('paq_deformable_detr_pp_r50_12e_masks_cityscapes')
    (times,) = {cfg.train_dataloader.dataset.times}
    batch = cfg.train_dataloader.batch_size
    decided = fit_length(cfg, facts(images=100), RunOptions(), 1)
    assert f'{100 * times} images are {100 * times // batch} mini' in said(decided)


def test_a_warm_up_takes_a_tenth_at_most():
    cfg = leaf('paq_dino_r18_4e_digits')  # 50 mini-batches of warm-up
    fit_length(cfg, facts(images=80), RunOptions(epochs=10), 1)
    warm_up, cosine = cfg.param_scheduler
    assert warm_up.end == 10  # of 10 epochs of 10 mini-batches
    assert (cosine.end, cosine.T_max) == (10, 10)


def test_plain_options_without_data():
    cfg = leaf('dino_r50_12e')
    options = RunOptions(epochs=24, batch_size=4, image_size=96, lr=0.5, seed=7)
    apply_options(cfg, options)
    assert cfg.train_cfg.max_epochs == 24
    assert cfg.param_scheduler[0].milestones == [22]
    assert cfg.train_dataloader.batch_size == 4
    assert image_limits(cfg) == (96, 96)
    assert cfg.optim_wrapper.optimizer.lr == 0.5
    assert cfg.randomness.seed == 7
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=5)
    with pytest.raises(ConfigError, match='--epochs changes train_cfg.max_epochs'):
        apply_options(cfg, options)


def test_a_config_that_cannot_be_fitted(data):
    cfg = leaf('dino_r50_12e')
    cfg.val_evaluator = None
    with pytest.raises(ConfigError, match='has no val_evaluator'):
        fit(cfg, data, RunOptions())
