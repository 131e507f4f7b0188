"""Topic maps: every document of an index as a point in the plane, grouped by topic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from docsim import extras
from docsim.analysis.layout import lay_out
from docsim.analysis.topics import Topic, find_topics
from docsim.engine.base import Snapshot
from docsim.errors import StoreError
from docsim.rendering.plots import COLOURS, axes_of, png
from docsim.search.scoring import centroid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["KnowledgeMap", "Point", "drawn", "knowledge_map", "middle", "names"]

_READ = 2_000
"""Topics are named by this many leading characters of their documents."""


@dataclass(frozen=True, slots=True)
class Point:
    """A document on the map.

    Attributes:
        id: The document's id.
        title: The document's title.
        x: In [0, 1], from left to right.
        y: In [0, 1], from bottom to top.
        topic: Position of its topic in the map's topics.
    """

    id: str
    title: str
    x: float
    y: float
    topic: int


@dataclass(frozen=True, slots=True)
class KnowledgeMap:
    """A map of a knowledge base: its topics, the largest first, and its documents, in the order of indexing.

    Documents that lie close together are similar. Axes and long distances have no meaning.
    """

    topics: tuple[Topic, ...]
    points: tuple[Point, ...]


def knowledge_map(snapshot: Snapshot, *, seed: int = 0) -> KnowledgeMap:
    """Lay out all documents of an index in the plane, and group them by topic.

    Args:
        snapshot: The index. Each document is placed by the mean of its passages' embeddings.
        seed: The same seed gives the same map of the same documents.

    Raises:
        MissingExtra: The extra ``map`` is not installed.
        StoreError: Nothing is indexed.
    """
    extras.require("map", "a topic map")
    found = list(snapshot.scan(characters=_READ))
    if not found:
        raise StoreError(
            "expected documents to draw a map of, found none; index some first", hint="docsim index SOURCE"
        )
    rows = snapshot.embeddings(np.array([one.number for one in found], np.int64))
    coordinates = lay_out(np.stack([centroid(one) for one in rows]), seed=seed)
    documents = [one.document for one in found]
    topics = find_topics(coordinates, [f"{one.title}\n{one.text}" for one in documents], seed=seed)
    points = [
        Point(one.id, one.title, round(x, 4), round(y, 4), topic)
        for one, (x, y), topic in zip(documents, coordinates.tolist(), topics.members.tolist(), strict=True)
    ]
    return KnowledgeMap(topics.topics, tuple(points))


def drawn(found: KnowledgeMap, *, title: str) -> bytes:
    """Draw a map as a PNG picture.

    Args:
        found: The map.
        title: The name of the knowledge base, for the heading.
    """
    return png(_figure(found, title), dpi=150)


def _figure(found: KnowledgeMap, title: str) -> Figure:
    figure, (axis,) = axes_of(width=12, height=9)
    coordinates = np.array([(point.x, point.y) for point in found.points])
    members = np.array([point.topic for point in found.points])
    size = float(np.clip(15000 / len(coordinates), 4, 60))
    for number, topic in enumerate(found.topics):
        chosen = coordinates[members == number]
        colour = COLOURS[number % len(COLOURS)]
        label = f"{', '.join(topic.terms) or 'no words'} ({topic.documents:,})"
        axis.scatter(chosen[:, 0], chosen[:, 1], s=size, color=colour, alpha=0.65, linewidths=0, label=label)
    for number, name in enumerate(names(found.topics)):
        _write(axis, name, middle(coordinates[members == number]), COLOURS[number % len(COLOURS)])
    axis.set(title=f"{title}: {len(coordinates):,} documents", xticks=[], yticks=[], aspect="equal")
    axis.margins(0.03)
    for spine in axis.spines.values():
        spine.set_visible(False)
    figure.legend(loc="outside right upper", fontsize="small", frameon=False, markerscale=max(1.0, 4 / size**0.5))
    return figure


def _write(axis: Any, name: str, point: NDArray[np.float64], colour: str) -> None:
    """Write a topic's name over its documents, with a white outline that keeps it readable."""
    from matplotlib.patheffects import withStroke

    halo = withStroke(linewidth=3, foreground="white")
    axis.text(*point, name, color=colour, weight="bold", size=11, ha="center", va="center", path_effects=[halo])


def names(topics: Sequence[Topic]) -> list[str]:
    """Return a short name for each topic: its best term that is not the name of a larger topic, if it has one."""
    used: list[str] = []
    for topic in topics:
        used.append(next((term for term in topic.terms if term not in used), ", ".join(topic.terms)))
    return used


def middle(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the point closest to the median of some points, so that it lies among them.

    Args:
        points: ``float64 (n, 2)``, at least one.
    """
    distances = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    nearest: NDArray[np.float64] = points[int(distances.argmin())]
    return nearest
