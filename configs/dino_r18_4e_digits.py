"""The small DINO of the demo without any method: what the others compare with.

python tools/dataset/make_digits.py
mim train mmdet_qrpaq configs/dino_r18_4e_digits.py
Measured: not run.
"""

_base_ = './_base_/small_dino_digits.py'
