"""The small Deformable-DETR as QR-DETR has it: one-stage, without box refinement.

The host of the study `routing_text` in `benchmarks/accuracy/`.
"""

_base_ = './small_deformable_digits.py'

model = dict(with_box_refine=False, as_two_stage=False)
