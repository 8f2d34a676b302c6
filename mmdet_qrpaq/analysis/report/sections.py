"""What the report is made of: a list, in the order of the page.

A further analysis is one more entry: how it is called, what its schema is, which tables
show its numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..cost import efficiency_result
from ..detections import overview, side_by_side
from ..patterns import embedding as pattern_embedding
from ..patterns import weights as pattern_weights
from ..queries import ablation as query_ablation
from ..queries import usage as query_usage
from ..routing import objects as object_routing
from ..sampling import result as sampling_result
from ..trained_detector import TrainedModel
from ..training import curves as training_curves
from . import measures as report_measures
from . import tables as report_tables
from .parts import Section


@dataclass(frozen=True)
class Settings:
    """What a user can choose for the whole report.

    Attributes:
        num_pictures: Drawn side by side.
        score_threshold: Least score of a drawn detection.
        repeats: Timed predictions of each model.
        hardware: In words, for the protocol of the times.
    """

    num_pictures: int = 6
    score_threshold: float = 0.5
    repeats: int = 20
    hardware: str = 'unknown'


def list_sections(models: Sequence[TrainedModel], settings: Settings) -> list[Section]:
    """Return all sections, with the options that suit the models."""
    several = len(models) > 1
    select = 'differing' if several else 'spread'
    side_by_side_shows = 'Ground truth and detections on the same pictures, ' + (
        'those in which the models differ most. Solid: right. Dashed and ×: wrong. '
        'Thick and ◆: another model has none like it.'
        if several
        else 'spread over the data. Solid: right. Dashed and ×: wrong. Dashed in '
        'the ground truth: missed.'
    )
    return [
        Section(
            name='overview',
            title='Models and data',
            how='Parameters are all of a model, also those that only training needs. '
            "Sizes are COCO's, of an object's box in the stored picture: small below "
            '32², large from 96² pixels.',
            shows='',
            measure=report_measures.measure_overview,
            schema=overview.MODELS,
            tables=report_tables.model_tables,
            options={},
        ),
        Section(
            name='precision',
            title='Average precision',
            how="The config's own evaluator over its data set; AP is COCO's mean over "
            'IoU 0.50:0.95. A dash: there is no such object. With NMS (by class, IoU '
            '0.6) duplicates are gone: where that adds much, the model finds objects '
            'but has not learned to report them once, and needs a longer training.',
            shows='AP of each model: over all, by size and by class.',
            measure=report_measures.measure_precision,
            schema=overview.PRECISION,
            tables=report_tables.precision_tables,
            options={},
        ),
        Section(
            name='query_usage',
            title='Query usage',
            how="A hit of a query is an object that the head's own one-to-one "
            'assigner gives it on the last decoder layer; it is confident and correct '
            'if the class is right, and score and IoU reach their thresholds. On '
            "two-stage hosts a query's index is the rank of its proposal, so hits "
            'gather on the first queries by construction. After PaQ-DETR Fig. 1 and '
            'Table 6.',
            shows='Left: hits per query, most used first. Right: Lorenz curves; the '
            'further below the diagonal, the fewer queries do the work.',
            measure=report_measures.measure_usage,
            schema=query_usage.SCHEMA,
            tables=report_tables.usage_tables,
            options=dict(score_threshold=0.3, iou_threshold=0.5),
        ),
        Section(
            name='routing',
            title='Query routing',
            how='How many queries enter each routed slice of the decoder, and whose: '
            "a query counts for the object that the head's one-to-one assigner gives "
            'it, or as background. After QR-DETR Table 2 and Fig. 4.',
            shows='Above: in how many pictures how many queries enter. Below: share of '
            'entering queries by size and class of their object.',
            measure=report_measures.measure_routing,
            schema=object_routing.SCHEMA,
            tables=report_tables.routing_tables,
            options={},
            each=True,
        ),
        Section(
            name='query_ablation',
            title='Sub-layers and fewer queries',
            how='The trained models, not retrained: the term of one attention is taken '
            'out of every decoder layer, or only the first queries (two-stage hosts: '
            'the best proposals) are decoded. After QR-DETR Fig. 2.',
            shows='Left: AP with one attention or both. Right: AP (dotted: AP50) by '
            'number of queries kept.',
            measure=report_measures.measure_ablation,
            schema=query_ablation.SCHEMA,
            tables=report_tables.ablation_tables,
            options=dict(keep='first'),
        ),
        Section(
            name='pattern_weights',
            title='Pattern weights',
            how='Rows of W^D of successful detections (matched, class right, score and '
            'IoU at least the thresholds) of the classes most often found; effective '
            "patterns are the exponential of a row's entropy. After PaQ-DETR Fig. 5.",
            shows='Weights of each class and their spread; mean weights by class; '
            'cosines between the patterns.',
            measure=report_measures.measure_weights,
            schema=pattern_weights.SCHEMA,
            tables=report_tables.weight_tables,
            options=dict(score_threshold=0.5, iou_threshold=0.7),
            each=True,
        ),
        Section(
            name='pattern_embedding',
            title='Pattern weights of pictures (t-SNE)',
            how='All of W^D of each picture, laid out by t-SNE (seed 0); the class is '
            'that of the largest object. After PaQ-DETR Fig. 6.',
            shows='A point a picture, coloured by class; near points have alike W^D.',
            measure=report_measures.measure_embedding,
            schema=pattern_embedding.SCHEMA,
            tables=report_tables.embedding_tables,
            options=dict(num_pictures=200),
            each=True,
        ),
        Section(
            name='curves',
            title='Convergence',
            how='From the training logs beside the checkpoints. After PaQ-DETR Fig. 4.',
            shows='Left: training loss. Right: validation AP.',
            measure=report_measures.measure_convergence,
            schema=training_curves.SCHEMA,
            tables=report_tables.convergence_tables,
            options=dict(logs=report_measures.find_logs(models)),
        ),
        Section(
            name='efficiency',
            title='Efficiency',
            how='All models on the same pictures, through the pipeline of the first; '
            'FLOPs (2 for each multiply-accumulate) with deformable attention and '
            'routing counted, mean ± standard deviation over pictures; times of '
            'predictions, interleaved in random order. After QR-DETR Table 3 and '
            'PaQ-DETR Table 7.',
            shows='Parameters, FLOPs, memory and time of each model, by stage.',
            measure=report_measures.measure_efficiency,
            schema=efficiency_result.SCHEMA,
            tables=report_tables.efficiency_tables,
            options=dict(
                num_pictures=8, repeats=settings.repeats, hardware=settings.hardware
            ),
        ),
        Section(
            name='sampling_points',
            title='Sampling points',
            how='Where the most confident queries of the first picture take the '
            'samples of deformable attention, decoder layer by decoder layer.',
            shows='A row a query, a column a decoder layer: its samples, larger and '
            'brighter with their weight, and its box after the layer; grey and dashed '
            'where the query bypassed what the layer routes.',
            measure=report_measures.measure_sampling,
            schema=sampling_result.SCHEMA,
            tables=report_tables.sampling_tables,
            options=dict(num_pictures=1, num_queries=3),
            each=True,
        ),
        Section(
            name='side_by_side',
            title='Side by side',
            how='A detection is right if it pairs with an object of its class, best '
            'score first; it differs if another model has none of its class with that '
            'IoU. After QR-DETR Fig. 5.',
            shows=side_by_side_shows,
            measure=report_measures.measure_side_by_side,
            schema=side_by_side.SCHEMA,
            tables=report_tables.outcome_tables,
            options=dict(
                num_pictures=settings.num_pictures,
                score_threshold=settings.score_threshold,
                iou_threshold=0.5,
                select=select,
            ),
        ),
    ]
