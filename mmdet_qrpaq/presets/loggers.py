"""Where else losses and metrics are written."""

from importlib.util import find_spec

from mmengine.config import Config

from ..settings.decision import Decision
from .lists import put


def tensorboard(cfg: Config) -> list[Decision]:
    """Write losses, learning rates and metrics for TensorBoard too.

    Into the run's folder: `tensorboard --logdir work_dirs/NAME`. mmengine's
    `TensorboardVisBackend`.

    Costs: a file of some MB.
    Use it: to watch a run, or lay several over one another.
    """
    _require('tensorboard')
    return _put_backend(cfg, dict(type='TensorboardVisBackend'), 'tensorboard')


def mlflow(cfg: Config) -> list[Decision]:
    """Write losses, metrics and settings for MLflow too.

    Into `mlflow.db` in the work folder (`mlflow ui --backend-store-uri
    sqlite:///work_dirs/NAME/mlflow.db`), or where the environment variable
    MLFLOW_TRACKING_URI says. Our `WorkFolderMLflow`, a `MLflowVisBackend`.

    Costs: some milliseconds a log entry.
    Use it: where runs are compared in MLflow.
    """
    _require('mlflow')
    if not _is_installed('sqlalchemy'):
        raise ModuleNotFoundError(name='sqlalchemy')
    return _put_backend(cfg, dict(type='mmdet.WorkFolderMLflow'), 'mlflow')


def wandb_offline(cfg: Config) -> list[Decision]:
    """Write losses, metrics and the config for Weights & Biases too, without a network.

    Into the run's folder; `wandb sync FOLDER` sends it. Our `WandbWithoutCode`, a
    `WandbVisBackend` that leaves your code where it is.

    Costs: a second process.
    Use it: where runs are compared in Weights & Biases.
    """
    _require('wandb')
    backend = dict(type='mmdet.WandbWithoutCode', init_kwargs=dict(mode='offline'))
    return _put_backend(cfg, backend, 'wandb_offline')


def _put_backend(cfg: Config, backend: dict, preset: str) -> list[Decision]:
    if not cfg.get('visualizer'):
        cfg.visualizer = dict(type='DetLocalVisualizer', name='visualizer')
    found = cfg.visualizer.get('vis_backends') or [dict(type='LocalVisBackend')]
    cfg.visualizer.vis_backends = put(found, backend)
    return [Decision('visualizer', f'a log for {preset}', f'preset {preset}')]


def _require(name: str) -> None:
    if not _is_installed(name):
        raise ModuleNotFoundError(name=name)


def _is_installed(name: str) -> bool:
    # A folder of that name, as W&B makes one, is no library.
    found = find_spec(name)
    return found is not None and found.origin is not None
