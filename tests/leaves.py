"""The leaf configs, read and built once, and the numbers of the papers' tables."""

import ast
import contextlib
import copy
import functools
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import torch
from mmcv.ops import MultiScaleDeformableAttention
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
PAPER_LEAVES = [name for name in LEAVES if 'digits' not in name]

# AP, AP50 and AP75 in the tables of the papers, retyped from there.
PAPER = {
    'deformable_detr_pp_r50_12e': ('PaQ-DETR Table 1', 46.9, 65.6, 51.1),
    'dab_deformable_detr_r50_12e': ('PaQ-DETR Table 1', 48.0, 66.2, 52.4),
    'dn_deformable_detr_r50_12e': ('PaQ-DETR Table 1', 47.3, 65.1, 51.5),
    'paq_deformable_detr_pp_r50_12e': ('PaQ-DETR Table 1', 48.4, 66.9, 52.6),
    'paq_dab_deformable_detr_r50_12e': ('PaQ-DETR Table 1', 49.2, 67.7, 53.6),
    'paq_dn_deformable_detr_r50_12e': ('PaQ-DETR Table 1', 48.9, 66.8, 53.2),
    'deformable_detr_pp_r50_900q_12e': ('PaQ-DETR Table 1', 47.6, 65.8, 52.1),
    'dab_deformable_detr_r50_900q_12e': ('PaQ-DETR Table 1', 48.3, 66.4, 52.8),
    'dn_deformable_detr_r50_900q_12e': ('PaQ-DETR Table 1', 48.7, 66.4, 52.9),
    'paq_deformable_detr_pp_r50_900q_12e': ('PaQ-DETR Table 1', 48.9, 67.1, 53.3),
    'paq_dab_deformable_detr_r50_900q_12e': ('PaQ-DETR Table 1', 49.4, 67.7, 53.7),
    'paq_dn_deformable_detr_r50_900q_12e': ('PaQ-DETR Table 1', 49.8, 67.6, 53.5),
    'dino_r50_12e': ('PaQ-DETR Table 1', 50.3, 67.9, 55.3),
    'dino_r50_24e': ('PaQ-DETR Table 1', 50.9, 68.6, 55.8),
    'paq_dino_r50_12e': ('PaQ-DETR Table 1', 51.9, 69.1, 56.3),
    'paq_dino_r50_24e': ('PaQ-DETR Table 1', 52.6, 69.7, 56.9),
    'dino_swin_l_12e': ('PaQ-DETR Table 2', 56.8, 75.4, 62.3),
    'paq_dino_swin_l_12e': ('PaQ-DETR Table 2', 57.8, 76.2, 62.6),
    'paq_dino_r50_12e_hybrid': ('PaQ-DETR Table 3', 52.4, 69.8, 57.4),
    'dab_deformable_detr_r50_60e_csd': ('PaQ-DETR Table 4', 50.2, 88.5, 51.0),
    'dn_deformable_detr_r50_60e_csd': ('PaQ-DETR Table 4', 49.9, 88.0, 51.2),
    'dino_r50_60e_csd': ('PaQ-DETR Table 4', 53.4, 91.0, 55.8),
    'paq_dino_r50_60e_csd': ('PaQ-DETR Table 4', 54.2, 91.8, 56.2),
    'dab_deformable_detr_r50_120e_mssd': ('PaQ-DETR Table 5', 33.7, 60.0),
    'dn_deformable_detr_r50_120e_mssd': ('PaQ-DETR Table 5', 45.6, 74.1),
    'dino_r50_120e_mssd': ('PaQ-DETR Table 5', 51.0, 80.0),
    'paq_dino_r50_120e_mssd': ('PaQ-DETR Table 5', 55.2, 80.2),
    'paq_dino_r50_12e_p_only': ('PaQ-DETR Table 6', 51.4, 69.0, 56.0),
    'paq_dino_r50_12e_q_only': ('PaQ-DETR Table 6', 51.1, 68.4, 55.5),
    'paq_dino_r50_12e_200_patterns': ('PaQ-DETR Fig. 3', 51.7),
    'deformable_detr_pp_r50_12e_masks': ('PaQ-DETR Table 8', 46.5),
    'paq_deformable_detr_pp_r50_12e_masks': ('PaQ-DETR Table 8', 48.4),
    'deformable_detr_pp_r50_24e_masks': ('PaQ-DETR Table 8', 48.6),
    'paq_deformable_detr_pp_r50_24e_masks': ('PaQ-DETR Table 8', 50.6),
    'deformable_detr_pp_r50_12e_masks_cityscapes': ('PaQ-DETR Table 8', 52.6),
    'paq_deformable_detr_pp_r50_12e_masks_cityscapes': ('PaQ-DETR Table 8', 54.8),
    'deformable_detr_pp_r50_24e_masks_cityscapes': ('PaQ-DETR Table 8', 54.4),
    'paq_deformable_detr_pp_r50_24e_masks_cityscapes': ('PaQ-DETR Table 8', 56.2),
    'deformable_detr_r50_12e': ('QR-DETR Table 1', 38.3, 58.0, 41.3),
    'conditional_detr_r50_12e': ('QR-DETR Table 1', 36.6, 57.3, 40.1),
    'dab_detr_r50_12e': ('QR-DETR Table 1', 42.2, 63.1, 45.7),
    'qr_deformable_detr_r50_12e': ('QR-DETR Table 1', 43.1, 62.2, 46.4),
    'qr_conditional_detr_r50_12e': ('QR-DETR Table 1', 39.9, 60.9, 41.4),
    'qr_dab_detr_r50_12e': ('QR-DETR Table 1', 43.7, 63.2, 47.3),
    'qr_deformable_detr_r50_12e_literal': ('QR-DETR Table 1', 43.1, 62.2, 46.4),
    'qr_conditional_detr_r50_12e_literal': ('QR-DETR Table 1', 39.9, 60.9, 41.4),
    'qr_dab_detr_r50_12e_literal': ('QR-DETR Table 1', 43.7, 63.2, 47.3),
    'qr_deformable_detr_r50_12e_layer_only': ('QR-DETR Table 4', 23.1, 36.5, 24.8),
    'qr_deformable_detr_r50_12e_self_attn_only': ('QR-DETR Table 4', 40.6, 58.7, 44.1),
    'qr_deformable_detr_r50_12e_cross_attn_only': ('QR-DETR Table 4', 32.5, 50.3, 35.5),
    'qr_deformable_detr_r50_12e_concat': ('QR-DETR Table 5', 19.1),
    'qr_deformable_detr_r50_12e_exit_head_threshold': ('QR-DETR Table 1', 43.1),
    'qr_deformable_detr_r50_12e_exit_head_scores': ('QR-DETR Table 1', 43.1),
}
# What the mask branch may change, as dotted paths; and what its Cityscapes rows do.
MASKS = {
    'model.mask_branch',
    'model.backbone.out_indices',
    'model.bbox_head.type',
    'train_pipeline',
    'train_dataloader.dataset.pipeline',
    'val_evaluator.metric',
    'test_evaluator.metric',
}
CITYSCAPES = {'model.bbox_head.num_classes'} | {
    f'{split}_{part}'
    for split in ('train', 'val', 'test')
    for part in ('dataloader', 'evaluator')
}
# Mask AP, from PaQ-DETR Table 8; the box AP beside it is above.
PAPER_MASKS = {
    'deformable_detr_pp_r50_12e_masks': 32.4,
    'paq_deformable_detr_pp_r50_12e_masks': 34.8,
    'deformable_detr_pp_r50_24e_masks': 35.1,
    'paq_deformable_detr_pp_r50_24e_masks': 37.2,
    'deformable_detr_pp_r50_12e_masks_cityscapes': 34.8,
    'paq_deformable_detr_pp_r50_12e_masks_cityscapes': 36.8,
    'deformable_detr_pp_r50_24e_masks_cityscapes': 36.6,
    'paq_deformable_detr_pp_r50_24e_masks_cityscapes': 38.8,
}


@functools.cache
def read(name: str) -> Config:
    """A leaf by its name, or upstream's config by its `mmdet::` path. Not to change."""
    if '::' in name:  # as a base, since mmengine then adds `_scope_` to it
        return Config.fromstring(f'_base_ = [{name!r}]', '.py')
    return Config.fromfile(LEAVES[name])


@contextlib.contextmanager
def structure_only() -> Iterator[None]:
    """What is built has all of the structure, none of the numbers."""
    # Even of tensors without numbers, making them takes most of the time.
    draws = dict.fromkeys(('normal_', 'uniform_'), lambda tensor, *_, **__: tensor)
    grids = mock.patch.object(MultiScaleDeformableAttention, 'init_weights')
    # Swin reads some off a `linspace`.
    on_cpu = functools.partial(torch.linspace, device='cpu')
    with (
        torch.device('meta'),
        mock.patch.multiple(torch.Tensor, **draws),
        grids,
        mock.patch.object(torch, 'linspace', on_cpu),
    ):
        yield


@functools.cache
def build(name: str) -> torch.nn.Module:
    """A leaf's model, see `structure_only`. Not to change."""
    with structure_only():
        return MODELS.build(copy.deepcopy(read(name).model))


@functools.cache
def named_parts() -> set[str]:
    """What bases only offer to leaves."""
    parts = ('methods', 'qr_recipe', 'schedules', 'defects', 'digits', 'cityscapes')
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
