"""The only join between the method rooms and mmdet's detectors.

A host is one detector class and one head class; the methods are switched in the config.
"""

from .dino import QRPaQDINO, QualityAwareDINOHead

__all__ = ['QRPaQDINO', 'QualityAwareDINOHead']
