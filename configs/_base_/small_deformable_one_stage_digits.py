"""The small Deformable-DETR as QR-DETR seems to have it: one-stage, no refinement.

The host of the study `routing_text` in `benchmarks/accuracy/`.
"""

_base_ = './small_deformable_digits.py'

model = dict(with_box_refine=False, as_two_stage=False)
