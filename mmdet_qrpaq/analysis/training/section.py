"""The analysis of trainings, declared."""

from ..section import Section
from ..subjects import Runs

CURVES = Section(
    name='curves',
    title='Convergence',
    how='From the logs that trainings leave beside their checkpoints. After PaQ-DETR '
    'Fig. 4.',
    shows='Left: training loss. Right: validation AP.',
    module='training.curves',
    subject=Runs(),
)
