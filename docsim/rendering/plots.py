"""Pictures: what everything that draws with matplotlib shares."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from docsim import offline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "OTHERS", "axes_of", "blank", "png"]

COLOURS = (
    "#3366cc", "#dc3912", "#109618", "#ff9900", "#990099", "#0099c6", "#dd4477", "#66aa00", "#8b4513", "#316395",
    "#994499", "#22aa99", "#aaaa11", "#6633cc", "#e67300", "#8b0707", "#329262", "#5574a6", "#b77322", "#b91383",
    "#f4359e", "#9c5935", "#668d1c", "#2a778d",
)  # fmt: skip
"""Of groups, in order; each can be told from its neighbours in the list."""

OTHERS = "#999999"


def axes_of(columns: int = 1, *, width: float = 5.0, height: float = 4.0) -> tuple[Figure, Sequence[Any]]:
    """Return a figure with axes side by side, sizes in inches; made without pyplot, which would want a display."""
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
    """Return a figure as the bytes of a PNG file; a letter that its font lacks is drawn as a box."""
    target = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # one for each letter
        figure.savefig(target, format="png", dpi=dpi, metadata={"Software": None})
    return target.getvalue()
