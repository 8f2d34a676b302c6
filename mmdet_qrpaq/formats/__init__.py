"""Folders of annotated images, found by looking, and their formats turned into COCO.

All of it needs Pillow, PyYAML, msgspec and pycocotools, but neither torch nor mmdet:
data are often prepared on a machine without them.
"""
