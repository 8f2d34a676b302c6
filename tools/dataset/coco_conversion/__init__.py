"""The parts of `tools/dataset/to_coco.py`.

They need Pillow, PyYAML and pycocotools, but neither torch nor mmdet: data are often
prepared on a machine without them. Hence errors of their own.
"""
