"""The analyses of what models detect, declared."""

from ...command_line import count, share
from ..section import IOU_THRESHOLD, SCORE_THRESHOLD, Option, Section

BEST = 'best'
SELECT = ('differing', 'spread')


def share_or_best(text: str) -> float | str:
    """Read a number between 0 and 1, or the word for the best one.

    Raises:
        argparse.ArgumentTypeError: It is neither.
    """
    return BEST if text == BEST else share(text)


OVERVIEW = Section(
    name='overview',
    title='Models and data',
    how='Parameters are all of a model, also those that only training needs. Sizes are '
    "COCO's, of an object's box in the stored image: small below 32², large from 96² "
    'pixels.',
    shows='',
    module='detections.overview',
)
PRECISION = Section(
    name='precision',
    title='Average precision',
    how="The config's own evaluator over its data set; AP is COCO's mean over IoU "
    '0.50:0.95. A dash: there is no such object. With NMS (by class, IoU 0.6) '
    'duplicates are gone: where that adds much, the model finds objects but has not '
    'learned to report them once, and needs a longer training.',
    shows='AP of each model: over all, by size and by class.',
    module='detections.precision',
)
SIDE_BY_SIDE = Section(
    name='side_by_side',
    title='Side by side',
    how='A detection is right if it pairs with an object of its class, best score '
    'first; it differs if another model has none of its class with that IoU. After '
    'QR-DETR Fig. 5.',
    shows='Ground truth and detections on the same images. Solid: right. Dashed and ×: '
    'wrong. Thick and ◆, of several models: another has none like it. Dashed in the '
    'ground truth, of one model: missed.',
    module='detections.side_by_side',
    options=(
        Option(
            'score_threshold',
            0.5,
            f'{SCORE_THRESHOLD}; or {BEST!r}: from which on F1 is {BEST}, for which '
            'all images are looked at',
            share_or_best,
            metavar=f'NUMBER|{BEST}',
        ),
        Option('iou_threshold', 0.5, IOU_THRESHOLD, share),
        Option('num_images', 12, 'images to draw', count, formerly='num-pictures'),
        Option(
            'select',
            None,
            'draw the images in which the models differ most (of one model: with the '
            'most mistakes), or images spread evenly over the data (differing with '
            'several models, else spread)',
            choices=SELECT,
        ),
    ),
)
