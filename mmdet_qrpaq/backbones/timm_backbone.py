"""Any model of timm that gives features, as a backbone: `pip install timm`."""

from collections.abc import Sequence
from types import ModuleType

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import ConfigError

SCHEME = 'timm://'


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """The levels of a timm model, as (bs, channels, height, width).

    Args:
        model_name: As timm names it: `'convnext_tiny'`.
        out_indices: Levels, as mmdet's ResNet counts them: level i has stride
            4 * 2**i.
        norm_eval: Batch norms keep the statistics and weights they were given.
        with_cp: Keep fewer activations for the backward pass.
        init_cfg: `dict(type='Pretrained', checkpoint='timm://NAME')` downloads timm's
            weights of that name; a path reads a file with timm's names. None: random.
        settings: Of the model, as of `timm.create_model`: `img_size`, `drop_path_rate`.

    Raises:
        ConfigError: timm does not know the model, does not give it all these levels, or
            cannot be imported.
    """

    def __init__(
        self,
        model_name: str,
        out_indices: Sequence[int] = (1, 2, 3),
        norm_eval: bool = True,
        with_cp: bool = False,
        init_cfg: dict | None = None,
        **settings,
    ) -> None:
        super().__init__(init_cfg)
        self.model_name = model_name
        self.norm_eval = norm_eval
        info = _create(model_name, settings).feature_info
        strides = [4 * 2**level for level in out_indices]
        if not strides or any(info.reduction().count(s) != 1 for s in strides):
            raise ConfigError(
                f'model.backbone.out_indices asks {model_name} for levels of strides '
                f'{strides}, and timm gives it {info.reduction()}: level i is the one '
                'of stride 4 * 2**i; choose others, or another model.'
            )
        positions = [info.out_indices[info.reduction().index(s)] for s in strides]
        self.features = _create(model_name, dict(settings, out_indices=positions))
        self.channels = tuple(self.features.feature_info.channels())
        # Not all feature extractors of timm tell it; those that do not have NCHW.
        layout = getattr(self.features, 'output_fmt', None)
        self._channels_last = layout is not None and layout.value == 'NHWC'
        if with_cp:
            self.features.set_grad_checkpointing()
        if norm_eval:
            for norm in self._batch_norms():
                norm.requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the levels, finest first.

        Raises:
            ConfigError: The model does not take images of this size.
        """
        try:
            levels = self.features(images)
        except AssertionError as error:
            raise ConfigError(
                f'{self.model_name} refuses images of {tuple(images.shape)} ({error}); '
                'set model.data_preprocessor.pad_size_divisor=32, and img_size or '
                'strict_img_size=False in model.backbone, where the model has them.'
            ) from error
        if self._channels_last:
            levels = [level.permute(0, 3, 1, 2).contiguous() for level in levels]
        return tuple(levels)

    def train(self, mode: bool = True) -> nn.Module:
        """Set the mode, but for frozen batch norms."""
        super().train(mode)
        if self.norm_eval:
            for norm in self._batch_norms():
                norm.eval()
        return self

    def _batch_norms(self) -> list[nn.Module]:
        return [part for part in self.modules() if isinstance(part, _BatchNorm)]

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *args
    ) -> None:
        """Load weights under our names, or under timm's for the whole model."""
        own = self.state_dict().keys()
        for key in [key for key in state_dict if key.startswith(prefix)]:
            name = key.removeprefix(prefix)
            # timm turns `layers.0` into `layers_0`, or keeps the model whole.
            for there in (name, name.replace('.', '_', 1), f'model.{name}'):
                if (new := f'features.{there}') in own:
                    state_dict[f'{prefix}{new}'] = state_dict.pop(key)
                    break
        super()._load_from_state_dict(state_dict, prefix, *args)


@CheckpointLoader.register_scheme(prefixes=SCHEME)
def load_from_timm(address: str, map_location: str | None = None) -> dict:
    """Download the weights of timm's model of a name.

    Raises:
        ConfigError: timm has none, or they cannot be downloaded.
    """
    name = address.removeprefix(SCHEME)
    timm = _timm(name)
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # of huggingface_hub, of its client, or timm's own
        raise ConfigError(
            f"timm's weights {name} cannot be downloaded ({type(error).__name__}); "
            'connect to the internet, give init_cfg.checkpoint the path of a file, or '
            'start without them (--cfg-options model.backbone.init_cfg=None).'
        ) from error


def _create(name: str, settings: dict) -> nn.Module:
    timm = _timm(name)
    try:
        return timm.create_model(name, features_only=True, **settings)
    except (RuntimeError, AttributeError, AssertionError, IndexError) as error:
        raise ConfigError(
            f'timm gives no features of the model {name!r} ({error}); choose another '
            'in model.backbone.model_name.'
        ) from error


def _timm(name: str) -> ModuleType:
    """Import timm, which takes its time.

    Raises:
        ConfigError: It cannot be imported, or does not know the model.
        ModuleNotFoundError: It is not installed; the tools name the extra.
    """
    try:
        import timm
    except (RuntimeError, OSError) as error:
        raise ConfigError(
            f'timm cannot be imported ({error}); install the torchvision that goes '
            'with this torch, from the index that torch came from.'
        ) from error
    if not timm.is_model(name):
        raise ConfigError(
            f'timm {timm.__version__} has no model {name!r}; timm.list_models() names '
            'all.'
        )
    return timm
