"""Tiny hosts and batches shared by the tests: CPU, seconds, no downloads."""

import copy
import functools
import logging
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmdet.utils import register_all_modules
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.structures import InstanceData
from mmengine.utils import get_installed_path

import mmdet_qrpaq  # noqa: F401  (registers the package)
from mmdet_qrpaq.routing import Decision

REPOSITORY = Path(__file__).parents[1]
NUM_CLASSES = 3
NUM_QUERIES = 12

# Config of every host, upstream's or a leaf of ours, with our detector and head. A new
# host is tested by being listed here.
HOSTS = dict(
    dino=dict(
        config='mmdet::dino/dino-4scale_r50_improved_8xb2-12e_coco.py',
        detector='QRPaQDINO',
        head='QualityAwareDINOHead',
    ),
    deformable=dict(
        config='mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
        detector='QRPaQDeformableDETR',
        head='QualityAwareDeformableDETRHead',
    ),
    deformable_refine=dict(
        config='mmdet::deformable_detr/deformable-detr-refine_r50_16xb2-50e_coco.py',
        detector='QRPaQDeformableDETR',
        head='QualityAwareDeformableDETRHead',
    ),
    deformable_two_stage=dict(
        config='mmdet::deformable_detr/'
        'deformable-detr-refine-twostage_r50_16xb2-50e_coco.py',
        detector='QRPaQDeformableDETR',
        head='QualityAwareDeformableDETRHead',
    ),
    deformable_pp=dict(
        config='deformable_detr_pp_r50_12e.py',
        detector='QRPaQDeformableDETRPP',
        head='QualityAwareDeformableDETRHead',
    ),
    conditional=dict(
        config='mmdet::conditional_detr/conditional-detr_r50_8xb2-50e_coco.py',
        detector='QRPaQConditionalDETR',
        head='QualityAwareConditionalDETRHead',
    ),
    dab=dict(
        config='mmdet::dab_detr/dab-detr_r50_8xb2-50e_coco.py',
        detector='QRPaQDABDETR',
        head='QualityAwareDABDETRHead',
    ),
    dab_deformable=dict(
        config='dab_deformable_detr_r50_12e.py',
        detector='QRPaQDABDeformableDETR',
        head='QualityAwareDABDeformableDETRHead',
    ),
    dn_deformable=dict(
        config='dn_deformable_detr_r50_12e.py',
        detector='QRPaQDNDeformableDETR',
        head='QualityAwareDNDeformableDETRHead',
    ),
)

PATTERNS = dict(type='PatternQueryGenerator', num_patterns=5, hidden_dims=16)
QUALITY = dict(assigner=dict(type='QualityAwareAssigner'))
VARIFOCAL = dict(type='IoUAwareVarifocalLoss')
MASKS = dict(num_points=48)
ROUTING = dict(gradient='straight_through', policy=dict(type='StandardizedPolicy'))
EXIT_HEADS = dict(gradient='exit_head', policy=dict(type='ThresholdPolicy'))
BENEFIT = EXIT_HEADS | dict(gradient='benefit')
LITERAL = EXIT_HEADS | dict(
    exit_input='scores',
    exit_teaches='router',
    supervise='entering',
    bypassed_boxes='kept',
)
BY_SITE = ROUTING | dict(
    policy=dict(
        layer=dict(type='StandardizedPolicy', threshold=0.5),
        self_attn=dict(type='TopSharePolicy', share=0.25),
        cross_attn=dict(type='ThresholdPolicy'),
    ),
    supervise='entering',
    bypassed_boxes='kept',
)
METHODS = dict(
    none=dict(),
    p=dict(pattern_query=PATTERNS),
    q=dict(quality=QUALITY, loss_cls=VARIFOCAL),
    paq=dict(pattern_query=PATTERNS, quality=QUALITY, loss_cls=VARIFOCAL),
    # The other readings of the paper, all at once.
    paq_readings=dict(
        pattern_query=dict(PATTERNS, finest=True),
        quality=dict(QUALITY, hungarian='replaces'),
        loss_cls=dict(VARIFOCAL, confidence_weight=0.4),
    ),
    static=dict(pattern_query=dict(type='StaticContent')),
    qr=dict(query_routing=ROUTING),
    qr_exit=dict(query_routing=EXIT_HEADS),
    qr_literal=dict(query_routing=LITERAL),
    qr_benefit=dict(query_routing=BENEFIT),
    qr_by_site=dict(query_routing=BY_SITE),
    qrpaq=dict(
        query_routing=EXIT_HEADS,
        pattern_query=PATTERNS,
        quality=QUALITY,
        loss_cls=VARIFOCAL,
    ),
)
# Options of the detector; the others belong to its head.
OF_DETECTOR = (
    *('query_routing', 'pattern_query', 'hybrid_branch', 'mask_branch'),
    *('activation_checkpointing', 'denoised_objects', 'frozen_parts'),
    *('cpu_attention', 'fused_attention'),
)

register_all_modules()
# Tiny tensors: a second thread costs more than it saves.
torch.set_num_threads(1)
# mmengine reads all of mmdet's metafiles for each base that is named `mmdet::`.
Config._get_cfg_path = staticmethod(functools.cache(Config._get_cfg_path))
# mmengine logs every parameter it initialises.
MMLogger.get_current_instance().setLevel(logging.WARNING)


def tiny_config(host: str) -> dict:
    """The model config of a host, made small: thin ResNet-18, 1 + 3 layers."""
    package, _, path = HOSTS[host]['config'].rpartition('::')
    root = Path(get_installed_path(package)) / '.mim' if package else REPOSITORY
    model = Config.fromfile(str(root / 'configs' / path)).model
    model.backbone.update(depth=18, base_channels=16, init_cfg=None)
    model.neck.in_channels = [16 * 2**i for i in model.backbone.out_indices]
    model.encoder.update(num_layers=1)
    model.encoder.layer_cfg.ffn_cfg.update(feedforward_channels=64)
    model.decoder.update(num_layers=3)
    model.decoder.layer_cfg.ffn_cfg.update(feedforward_channels=64)
    model.num_queries = NUM_QUERIES
    model.bbox_head.num_classes = NUM_CLASSES
    model.test_cfg.max_per_img = 10
    if model.get('dn_cfg'):
        model.dn_cfg.group_cfg = dict(dynamic=True, num_dn_queries=4)
    return model


def build(model: dict, seed: int = 0) -> torch.nn.Module:
    """Builds and initialises a detector, reproducibly."""
    torch.manual_seed(seed)
    detector = MODELS.build(model)
    detector.init_weights()
    return revert_sync_batchnorm(detector)


@functools.cache
def _upstream(host: str) -> torch.nn.Module:
    return build(tiny_config(host))


def build_upstream(host: str) -> torch.nn.Module:
    """The host without anything of PaQ or QR, small."""
    return copy.deepcopy(_upstream(host))


def box_features() -> int:
    """Features with which the installed mmdet's DINO encodes one of a box's numbers."""
    return _upstream('dino').decoder.ref_point_head.layers[0].in_features // 4


def host_config(host: str, **options) -> dict:
    """Our class of the host; `options` as in `METHODS`."""
    model = tiny_config(host)
    model.type = HOSTS[host]['detector']
    model.bbox_head.type = HOSTS[host]['head']
    for name, option in ConfigDict(options).items():
        owner = model if name in OF_DETECTOR else model.bbox_head
        owner[name] = option
    if 'mask_branch' in options:
        model.backbone.out_indices = (0, 1, 2, 3)
    return model


class ForcedPolicy:
    """Decides as told, whatever the scores say; usable as `query_routing.policy`.

    Args:
        shares: Share of 'enter' of each image; 0 is no query, 1 is all of them.
    """

    def __init__(self, *shares: float) -> None:
        self.shares = shares

    def __call__(self, scores: torch.Tensor) -> Decision:
        rows = []
        for share in self.shares[: len(scores)]:
            # By the share alone, so that an image decides alike without its neighbour.
            draw = torch.Generator().manual_seed(round(1000 * share))
            rows.append(torch.rand(scores.shape[1], generator=draw))
        margin = torch.stack(rows).type_as(scores)
        shares = torch.tensor(self.shares).type_as(scores)
        enter = margin < shares[: len(scores), None]
        return Decision(enter, margin, (scores[..., 0] - scores[..., 1]).sigmoid())


def without_dropout(module: torch.nn.Module) -> torch.nn.Module:
    """Another executor draws other numbers, so comparisons must not draw any."""
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
        if isinstance(part, torch.nn.MultiheadAttention):
            part.dropout = 0.0
    return module


@functools.cache
def _host(host: str, method: str) -> torch.nn.Module:
    return build(host_config(host, **METHODS[method]))


def build_host(host: str, method: str = 'none') -> torch.nn.Module:
    """Our class of the host with a method of `METHODS` switched on."""
    return copy.deepcopy(_host(host, method))


def make_batch(
    num_objects: list[int],
    shapes: list[tuple[int, int]] | None = None,
    seed: int = 0,
    with_masks: bool = False,
) -> dict:
    """Random images and objects, as mmdet's data preprocessor hands them over.

    Args:
        num_objects: Objects of each image.
        shapes: (height, width) of each image in pixels; padded to the largest.
        with_masks: Objects have masks, too: the ellipses in their boxes.
    """
    rng = torch.Generator().manual_seed(seed)
    shapes = shapes or [(64, 96)] * len(num_objects)
    height, width = (max(side) for side in zip(*shapes, strict=True))
    inputs = torch.zeros(len(num_objects), 3, height, width)
    samples = []
    for image, number, (h, w) in zip(inputs, num_objects, shapes, strict=True):
        image[:, :h, :w] = torch.randn(3, h, w, generator=rng)
        centre = torch.rand(number, 2, generator=rng) * 0.6 + 0.2
        size = torch.rand(number, 2, generator=rng) * 0.2 + 0.1
        boxes = torch.cat((centre - size / 2, centre + size / 2), 1)
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(h, w),
                ori_shape=(h, w),
                batch_input_shape=(height, width),
                scale_factor=(1.0, 1.0),
            )
        )
        sample.gt_instances = InstanceData(
            bboxes=boxes * torch.tensor([w, h, w, h]),
            labels=torch.randint(0, NUM_CLASSES, (number,), generator=rng),
        )
        if with_masks:
            sample.gt_instances.masks = ellipses(sample.gt_instances.bboxes, h, w)
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def ellipses(boxes: torch.Tensor, height: int, width: int) -> BitmapMasks:
    """The pixels whose centre is in the ellipse of a box (x1, y1, x2, y2)."""
    x1, y1, x2, y2 = boxes[:, :, None, None].unbind(1)
    y = torch.arange(height)[:, None] + 0.5
    x = torch.arange(width) + 0.5
    inside = ((2 * x - x1 - x2) / (x2 - x1)) ** 2 + ((2 * y - y1 - y2) / (y2 - y1)) ** 2
    return BitmapMasks((inside <= 1).byte().numpy(), height, width)


def run_loss(detector: torch.nn.Module, batch: dict, seed: int = 1) -> dict:
    """The loss dict, with the denoising noise fixed by `seed`."""
    torch.manual_seed(seed)
    return detector(**batch, mode='loss')


def total_loss(losses: dict) -> torch.Tensor:
    """Sum of everything mmengine would sum."""
    return sum(
        value if torch.is_tensor(value) else sum(value)
        for key, value in losses.items()
        if 'loss' in key
    ).sum()
