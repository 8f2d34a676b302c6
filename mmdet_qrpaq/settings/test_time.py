"""Augmentation at test time, as `--tta` of mmdet's own tool."""

import copy

from mmengine.config import Config, ConfigDict

from ..class_name import class_name
from ..errors import ConfigError
from .together import leaf_datasets

_META = (
    *('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    *('flip', 'flip_direction'),
)


def augment_test(cfg: Config) -> None:
    """Let a config test several views of every image, merged by NMS.

    Views and merging are `tta_pipeline` and `tta_model` of the config. By default these
    are mmdet's: the image and its mirror image, NMS at an IoU of 0.5; as many
    detections an image as the model makes of one view.

    Raises:
        ConfigError: The model makes masks, which nothing merges, or the views cannot be
            made from the test pipeline.
    """
    evaluators = cfg.get('test_evaluator') or []
    evaluators = [evaluators] if isinstance(evaluators, dict) else evaluators
    judges_masks = any('segm' in (one.get('metric') or ()) for one in evaluators)
    if cfg.model.get('mask_branch') or judges_masks:
        raise ConfigError(
            '--tta merges boxes alone and this model makes masks; leave the flag out.'
        )
    leaves = list(leaf_datasets(cfg.test_dataloader.dataset, 'test_dataloader.dataset'))
    if 'tta_model' not in cfg:
        limit = (cfg.model.get('test_cfg') or {}).get('max_per_img', 100)
        nms = dict(type='nms', iou_threshold=0.5)
        merging = dict(nms=nms, max_per_img=limit)
        cfg.tta_model = dict(type='DetTTAModel', tta_cfg=merging)
    if 'tta_pipeline' not in cfg:
        cfg.tta_pipeline = _mirrored(*leaves[0])
    for _, dataset in leaves:
        dataset['pipeline'] = copy.deepcopy(cfg.tta_pipeline)
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)


def _mirrored(key: str, dataset: dict) -> list[dict]:
    """Return a test pipeline that ends in two views, the mirrored one first."""
    *steps, last = copy.deepcopy(list(dataset['pipeline']))
    if class_name(last.get('type', '')) != 'PackDetInputs':
        raise ConfigError(
            f'--tta needs a pipeline that ends in PackDetInputs, and {key}.pipeline '
            f'ends in {last.get("type")}; set tta_pipeline in the config.'
        )
    flips = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
    packs = [dict(type='PackDetInputs', meta_keys=_META)]
    return [*steps, dict(type='TestTimeAug', transforms=[flips, packs])]
