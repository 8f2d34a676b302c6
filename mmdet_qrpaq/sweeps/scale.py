"""How large a run is: model, images, mini-batch and length, changed in its config."""

from dataclasses import dataclass

from mmengine.config import Config

from ..data.image_sizes import set_image_size
from ..data.options import RunOptions
from . import BESIDE

SMALL = BESIDE / 'configs' / '_base_' / 'small.py'


@dataclass(frozen=True)
class Scale(RunOptions):
    """What the options of a sweep say about size; None leaves it to config and data.

    Attributes:
        small: Lay `configs/_base_/small.py` over the config first.
    """

    small: bool = False


def make_small(cfg: Config) -> None:
    """Make any of the hosts a model for minutes: see `configs/_base_/small.py`."""
    small = Config.fromfile(SMALL)
    model = cfg.model
    share = small.small_model.num_queries / model.num_queries
    levels = tuple(model.backbone.out_indices)
    channels = [64 * 2**level for level in levels]  # of ResNet-18
    cfg.merge_from_dict(
        dict(
            model=dict(
                small.small_model,
                backbone=dict(small.small_backbone, out_indices=levels),
                # A mask branch takes the finest level past the neck.
                neck=dict(in_channels=channels[-len(model.neck.in_channels) :]),
            ),
            train_dataloader=small.small_train_dataloader,
            val_dataloader=small.small_test_dataloader,
            optim_wrapper=small.small_optim_wrapper,
            train_cfg=small.small_train_cfg,
            auto_scale_lr=small.small_auto_scale_lr,
        )
    )
    cfg.param_scheduler = small.small_param_scheduler
    # What is counted in proportion to the queries, as 150 patterns to 900.
    for part, key in (
        (model.get('pattern_query'), 'num_patterns'),
        (model.get('hybrid_branch'), 'num_queries'),
        ((model.get('dn_cfg') or {}).get('group_cfg'), 'num_dn_queries'),
    ):
        if part and key in part:
            part[key] = max(2, round(share * part[key]))
    set_image_size(cfg, small.small_image_size)
