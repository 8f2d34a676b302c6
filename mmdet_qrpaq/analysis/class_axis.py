"""An axis of class names that stays readable from two classes to a thousand.

Called by `routing/objects.py` and `detections/precision.py`.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes

# More names than this stand upright, and so many upright ones fit side by side.
SLANTED = 24
UPRIGHT = 100


def name_columns(axes: Axes, places: Sequence[float], names: Sequence[str]) -> bool:
    """Name columns below a figure; return whether there is room for numbers in them.

    Of more names than fit, only every second, third, ... is written.
    """
    every = -(-len(names) // UPRIGHT)
    roomy = len(names) <= SLANTED
    axes.set_xticks(
        places[::every],
        names[::every],
        rotation=30 if roomy else 90,
        ha='right' if roomy else 'center',
        rotation_mode='anchor' if roomy else 'default',
        fontsize=9 if roomy else 5,
    )
    return roomy
