"""Two of mmengine's backends, mended."""

import os
from pathlib import Path

from mmdet.registry import VISBACKENDS
from mmengine.config import Config
from mmengine.visualization import MLflowVisBackend, WandbVisBackend
from mmengine.visualization.vis_backend import force_init_env

# Read before MLflow is used, which sets it to the place of the last run.
SERVER = os.getenv('MLFLOW_TRACKING_URI')


@VISBACKENDS.register_module()
class WorkFolderMLflow(MLflowVisBackend):
    """Writes into a database in the work folder.

    mmengine writes plain files into the folder of one run, which MLflow 3.17 refuses,
    and at the end copies all of the work folder into them, earlier copies too.
    """

    def _init_env(self) -> None:
        """Choose the place: <work folder>/<time>/vis_data is what the run gives."""
        folder = Path(self._save_dir).absolute().parents[1]
        self._run_name = self._run_name or folder.name
        self._tracking_uri = self._tracking_uri or SERVER
        if not self._tracking_uri:
            self._tracking_uri = f'sqlite:///{folder / "mlflow.db"}'
            self._exp_name = self._exp_name or folder.name
            self._artifact_location = (folder / 'mlflow_artifacts').as_uri()
        super()._init_env()

    def close(self) -> None:
        """End the run."""
        if hasattr(self, '_mlflow'):
            self._mlflow.end_run()


@VISBACKENDS.register_module()
class WandbWithoutCode(WandbVisBackend):
    """Keeps config and numbers.

    mmengine also lets W&B copy all Python files below the current folder, those of an
    environment in it too, into a cache that it never empties.
    """

    @force_init_env
    def add_config(self, config: Config, **kwargs) -> None:
        """Record the config."""
        self._wandb.config.update(config.to_dict(), allow_val_change=True)
