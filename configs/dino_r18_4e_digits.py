"""A small DINO without any method: what the others on digits compare with.

python tools/dataset/make_digits.py
mim train mmdet_qrpaq configs/dino_r18_4e_digits.py
Measured: docs/accuracy.md, with the options told there.
"""

_base_ = './_base_/small_dino_digits.py'
