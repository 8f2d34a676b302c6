"""The analyses of how far a model's detections can be trusted, declared."""

from ...command_line import count, share
from ..detections.section import BEST, SELECT, share_or_best
from ..section import IOU_THRESHOLD, SCORE_THRESHOLD, Option, Section
from ..subjects import Models

_IOU = Option('iou_threshold', 0.5, IOU_THRESHOLD, share)
_BEST_SCORE = Option(
    'score_threshold',
    BEST,
    f'{SCORE_THRESHOLD}; or {BEST!r}: from which on F1 is {BEST}',
    share_or_best,
    metavar=f'NUMBER|{BEST}',
)
_MATCHED = (
    'A detection is right if COCO matches it with an object of its class at this IoU; '
    'what lies in a crowd region counts neither as right nor as wrong.'
)
THRESHOLDS = Section(
    name='thresholds',
    title='Best thresholds',
    how=f'{_MATCHED} F1 is 2 right / (detections + objects), of the detections from a '
    'score on. The best threshold is found on these very images: choose it on '
    'validation images, report on others.',
    shows='Precision against recall (left, as COCO interpolates it), F1 against the '
    'score threshold (right). Dots: the best threshold of each.',
    module='diagnosis.thresholds',
    options=(_IOU,),
)
ERROR_TYPES = Section(
    name='error_types',
    title='Error types',
    how='After TIDE (Bolya et al., ECCV 2020), with every detection, whatever its '
    'score. A wrong detection has the first of these errors that fits; AP at this IoU '
    'would rise by so much if all errors of that kind, and no others, were mended.',
    shows='What AP would gain if one kind of error were mended.',
    module='diagnosis.error_types',
    options=(_IOU,),
)
CONFUSION = Section(
    name='confusion',
    title='Confusions',
    how='Detections from the score threshold on, best first, each take the free object '
    'with the highest IoU of any class. An object that none takes is missed; a '
    'detection that takes none is on background. What lies in a crowd region of its '
    'class does not count.',
    shows='Where the objects of a class go: a row adds up to 100 %. The last row, of '
    'background, is of the detections that took no object. Of many classes those most '
    'often confused; the cell where the others meet holds what is right and what '
    'is confused among them alike.',
    module='diagnosis.confusion',
    options=(_BEST_SCORE, _IOU),
)
CALIBRATION = Section(
    name='calibration',
    title='Calibration',
    how=f'{_MATCHED} ECE is the mean distance of score and share of right ones over '
    'ten bins of the score, weighted by their detections. After a focal or '
    'cross-entropy loss a score says how likely a detection is right. After a '
    'varifocal or quality focal loss it was taught the IoU with the object, 0 without '
    'one: 0.7 then is a good box, not a doubtful one, and what to compare it with is '
    'the mean IoU.',
    shows='Share of right detections and mean IoU (of right ones; of all, wrong ones '
    'as 0) against the score. Below: detections in each bin.',
    module='diagnosis.calibration',
    options=(_IOU,),
)
WORST_IMAGES = Section(
    name='worst_images',
    title='Worst images',
    how='The images with the most wrong detections and missed objects together, at the '
    'score threshold with the best F1.',
    shows='Ground truth and detections. Solid: right. Dashed and ×: wrong. Dashed in '
    'the ground truth: missed.',
    module='detections.side_by_side',
    options=(
        _BEST_SCORE,
        _IOU,
        Option('num_images', 6, 'images to draw', count),
        Option('select', SELECT[0], 'which', choices=SELECT),
    ),
    subject=Models(each=True),
)
