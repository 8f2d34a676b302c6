"""A model without training: the same weights each time, none of them left as found."""

import logging

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmdet_qrpaq.runtime.building import build_untrained
from mmdet_qrpaq.runtime.configs import read_config
from tiny_hosts import host_config
from tiny_runs import CLASSES, CONFIG


def test_untrained_weights_repeat_and_none_is_left_out(tmp_path):
    path = tmp_path / 'tiny.py'
    path.write_text(CONFIG.format(classes=CLASSES, root=str(tmp_path)))
    cfg = read_config(str(path))
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'missing.pth'))
    cfg.model.backbone.init_cfg = pretrained
    one = build_untrained(cfg)
    torch.rand(3)
    for a, b in zip(one.parameters(), build_untrained(cfg).parameters(), strict=True):
        assert torch.equal(a, b)
    # Upstream: a normal distribution; before, whatever the memory held.
    assert 0.9 < one.level_embed.std() < 1.1
    assert cfg.model.backbone.init_cfg == pretrained


def test_untrained_weights_are_drawn_without_a_word():
    """mmengine tells of each parameter: some 800 lines of a detector at full size."""
    logger, said = MMLogger.get_current_instance(), []
    level, handler = logger.level, logging.Handler()
    handler.emit = said.append
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        build_untrained(Config(dict(model=host_config('dino'))))
        assert not said and logger.level == logging.INFO
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
