"""Count which query finds which object, and what AP is with NMS: a step of every run.

    python -m mmdet_qrpaq.sweeps.measure_model CONFIG CHECKPOINT OUT.json

A process of its own, so that it uses the GPU of its run.
"""

from pathlib import Path

from ..analysis.detections.average_precision import build_evaluator
from ..analysis.detections.duplicates import NmsObserver
from ..analysis.matching import keeps_places
from ..analysis.one_pass import one_pass
from ..analysis.queries.section import USAGE
from ..analysis.queries.usage import observe
from ..analysis.trained_detector import TrainedModel
from ..command_line import load_package, new_parser, run
from ..records.results import write_json
from ..runtime.checkpoints import read_checkpoint
from ..runtime.configs import read_config


def main() -> None:
    """Count over the validation set and write the numbers."""
    parser = new_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint written by training (.pth)')
    parser.add_argument('out', type=Path, help='file to write')
    args = parser.parse_args()
    load_package()
    cfg = read_config(args.config)
    model = TrainedModel('the model', args.config, args.checkpoint, cfg)
    nms = NmsObserver(build_evaluator(model))
    usage = []
    if keeps_places(model.detector):
        usage = observe([model], **USAGE.choose())
    one_pass(model, [nms, *usage])
    numbers = dict(
        num_queries=model.detector.num_queries,
        gini=None,
        gini_confident=None,
        AP_with_nms=nms.precision(),
        iteration=read_checkpoint(args.checkpoint)['meta']['iter'],
    )
    for counted in usage:
        numbers |= counted.numbers()
    write_json(args.out, numbers)


if __name__ == '__main__':
    run(main)
