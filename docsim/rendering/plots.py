"""Figures, colours and PNG files for everything that is drawn with matplotlib."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any

from docsim import offline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "axes_of", "blank", "can_draw", "png"]

COLOURS = (
    "#3366cc", "#dc3912", "#109618", "#ff9900", "#990099", "#0099c6", "#dd4477", "#66aa00", "#8b4513", "#316395",
    "#994499", "#22aa99", "#aaaa11", "#6633cc", "#e67300", "#8b0707", "#329262", "#5574a6", "#b77322", "#b91383",
    "#f4359e", "#9c5935", "#668d1c", "#2a778d",
)  # fmt: skip
"""Colours for groups, in order. Each is easy to tell from its neighbours in the list."""


def can_draw() -> bool:
    """Return whether matplotlib is installed, which the extras ``map`` and ``train`` bring; it is not imported."""
    return find_spec("matplotlib") is not None


def axes_of(columns: int = 1, *, width: float = 5.0, height: float = 4.0) -> tuple[Figure, Sequence[Any]]:
    """Return a figure and its axes, side by side. It is made without pyplot, so that no display is needed.

    Args:
        columns: The number of axes.
        width: The width of each, in inches.
        height: Their height, in inches.
    """
    figure = blank((width * columns, height))
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def blank(size: tuple[float, float]) -> Figure:
    """Return a figure without axes, its width and height in inches."""
    offline.before_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure, *, dpi: int = 110) -> bytes:
    """Return a figure as the bytes of a PNG file. Letters that the font does not have are drawn as boxes."""
    target = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # there would be one for each letter
        figure.savefig(target, format="png", dpi=dpi, metadata={"Software": None})
    return target.getvalue()
