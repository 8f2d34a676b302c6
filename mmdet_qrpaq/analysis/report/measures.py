"""How the report calls each analysis: models and options in, numbers and picture out.

Listed in :mod:`.report_sections`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ...errors import ConfigError
from ..cost import efficiency
from ..cost.efficiency_figure import draw_efficiency
from ..detections import overview, side_by_side
from ..detections.drawing import draw_side_by_side
from ..patterns import embedding as pattern_embedding
from ..patterns import weights as pattern_weights
from ..patterns.capture import require_patterns
from ..queries import ablation as query_ablation
from ..queries import usage as query_usage
from ..routing import objects as object_routing
from ..sampling import points as sampling_points
from ..sampling import result as sampling_result
from ..sampling.figure import draw_sampling_points
from ..trained_detector import TrainedModel
from ..training import curves as training_curves

Models = Sequence[TrainedModel]
Measured = tuple[dict, Figure | None]


def measure_overview(models: Models) -> Measured:
    """Parameters, queries, methods; the data."""
    return overview.describe_models(models), None


def measure_precision(models: Models) -> Measured:
    """AP by the config's evaluator."""
    numbers = overview.evaluate_models(models)
    return numbers, overview.draw_precision(numbers)


def measure_usage(models: Models, **thresholds: float) -> Measured:
    """See :mod:`.query_usage`."""
    usages = {
        model.name: query_usage.count_query_hits(
            model.detector, model.dataloader, **thresholds
        )
        for model in models
    }
    return query_usage.collect_numbers(usages), query_usage.draw_query_usage(usages)


def measure_routing(models: Models) -> Measured:
    """See :mod:`.object_routing`; one model."""
    (model,) = models
    counted = object_routing.count_routing(
        model.detector, model.dataloader, model.classes
    )
    return object_routing.collect_all(*counted), object_routing.draw_all(*counted)


def measure_ablation(models: Models, keep: str) -> Measured:
    """See :mod:`.query_ablation`."""
    ablations = {
        model.name: query_ablation.measure(
            model.detector,
            model.dataloader,
            model.cfg.get(f'{model.split}_evaluator'),
            keep=keep,
        )
        for model in models
    }
    return query_ablation.collect_numbers(ablations), query_ablation.draw(ablations)


def measure_weights(models: Models, **thresholds: float) -> Measured:
    """See :mod:`.pattern_weights`; one model."""
    (model,) = models
    result = pattern_weights.measure(model.detector, model.dataloader, **thresholds)
    return result.as_dict(), pattern_weights.draw(result)


def measure_embedding(models: Models, num_pictures: int) -> Measured:
    """See :mod:`.pattern_embedding`; one model."""
    (model,) = models
    require_patterns(model.detector)
    dataset = model.dataloader.dataset
    result = pattern_embedding.measure(
        model.detector, dataset, num_pictures=num_pictures
    )
    return result.as_dict(), pattern_embedding.draw(result)


def measure_convergence(models: Models, logs: dict[str, dict | None]) -> Measured:
    """See :mod:`.training_curves`; of the logs that there are."""
    folders = {name: Path(log['folder']) for name, log in logs.items() if log}
    if not folders:
        raise ConfigError(
            'there is no training log (<time>/vis_data/scalars.json) beside the '
            'checkpoints.'
        )
    runs = [(n, training_curves.read_history(f)) for n, f in folders.items()]
    numbers = training_curves.collect_numbers(runs, list(folders.values()))
    return numbers, training_curves.draw_training_curves(runs)


def find_logs(models: Models) -> dict[str, dict[str, Any] | None]:
    """Return folder and size of each model's training log, if it is the checkpoint's.

    The size in bytes tells a training that went on from what it was.
    """
    found = {}
    for model in models:
        folder = Path(model.checkpoint).parent
        size = sum(log.stat().st_size for log in folder.glob(training_curves.LOGS))
        found[model.name] = dict(folder=str(folder), size=size) if size else None
    return found


def measure_efficiency(models: Models, **options: Any) -> Measured:
    """See :mod:`.efficiency`."""
    detectors = {model.name: model.detector for model in models}
    dataset = models[0].dataloader.dataset
    result = efficiency.measure_efficiency(detectors, dataset, **options)
    return result.as_dict(), draw_efficiency(result)


def measure_sampling(models: Models, num_pictures: int, num_queries: int) -> Measured:
    """See :mod:`.sampling_points`; one model, the first pictures."""
    (model,) = models
    sampling_points.require_deformable(model.detector)
    dataset = model.dataloader.dataset
    indices = range(min(num_pictures, len(dataset)))
    followed = sampling_points.sample_pictures(
        model.detector, dataset, indices, num_queries=num_queries
    )
    total = model.detector.num_queries
    numbers = sampling_result.collect_numbers(followed, total)
    return numbers, draw_sampling_points(followed, total)


def measure_side_by_side(models: Models, **options: Any) -> Measured:
    """See :mod:`.side_by_side`."""
    scenes = side_by_side.look_at_pictures(models, **options)
    drawn = side_by_side.chosen(scenes, options.pop('num_pictures'))
    names = [model.name for model in models]
    numbers = side_by_side.collect_numbers(names, scenes, drawn, **options)
    meta = models[0].dataloader.dataset.metainfo
    options.pop('select')
    return numbers, draw_side_by_side(drawn, names, meta, **options)
