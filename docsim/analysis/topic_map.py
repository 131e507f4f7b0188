"""Maps: every document of an index as a point in the plane, grouped by topic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
"""Characters of a document that name its topic."""


@dataclass(frozen=True, slots=True)
class Point:
    """A document on the map.

    Attributes:
        id: The document's id.
        title: The document's title.
        x: From 0 at the left to 1.
        y: From 0 at the bottom to 1.
        topic: Place of its topic in the map's topics.
    """

    id: str
    title: str
    x: float
    y: float
    topic: int


@dataclass(frozen=True, slots=True)
class KnowledgeMap:
    """A knowledge base in two dimensions: topics, the largest first, and points in the order of indexing.

    Only what lies close together means something: axes and long distances do not.
    """

    topics: tuple[Topic, ...]
    points: tuple[Point, ...]


def knowledge_map(snapshot: Snapshot, *, seed: int = 0) -> KnowledgeMap:
    """Lay out and group all documents of an index.

    Args:
        snapshot: The index; a document lies where the centroid of its passages does.
        seed: The same gives the same map of the same documents.

    Raises:
        StoreError: Nothing is indexed.
    """
    found = list(snapshot.scan(characters=_READ))
    if not found:
        raise StoreError("expected documents to draw a map of, found none", hint="docsim index SOURCE")
    rows = snapshot.embeddings(np.array([one.number for one in found], np.int64))
    places = lay_out(np.stack([centroid(one) for one in rows]), seed=seed)
    documents = [one.document for one in found]
    topics = find_topics(places, [f"{one.title}\n{one.text}" for one in documents], seed=seed)
    points = [
        Point(one.id, one.title, round(x, 4), round(y, 4), topic)
        for one, (x, y), topic in zip(documents, places.tolist(), topics.members.tolist(), strict=True)
    ]
    return KnowledgeMap(topics.topics, tuple(points))


def drawn(found: KnowledgeMap, *, title: str) -> bytes:
    """Return the map as a PNG picture.

    Args:
        found: What to draw.
        title: What it is a map of.
    """
    return png(_figure(found, title), dpi=150)


def _figure(found: KnowledgeMap, title: str) -> Figure:
    figure, (axis,) = axes_of(width=12, height=9)
    places = np.array([(point.x, point.y) for point in found.points])
    members = np.array([point.topic for point in found.points])
    size = float(np.clip(15000 / len(places), 4, 60))
    for number, topic in enumerate(found.topics):
        chosen = places[members == number]
        colour = COLOURS[number % len(COLOURS)]
        label = f"{', '.join(topic.terms) or 'no words'} ({topic.documents:,})"
        axis.scatter(chosen[:, 0], chosen[:, 1], s=size, color=colour, alpha=0.65, linewidths=0, label=label)
    for number, name in enumerate(names(found.topics)):
        _write(axis, name, middle(places[members == number]), COLOURS[number % len(COLOURS)])
    axis.set(title=f"{title}: {len(places):,} documents", xticks=[], yticks=[], aspect="equal")
    axis.margins(0.03)
    for spine in axis.spines.values():
        spine.set_visible(False)
    figure.legend(loc="outside right upper", fontsize="small", frameon=False, markerscale=max(1.0, 4 / size**0.5))
    return figure


def _write(axis: Any, name: str, place: NDArray[np.float64], colour: str) -> None:
    """Write a topic's name where its documents are, readable over them."""
    from matplotlib.patheffects import withStroke

    halo = withStroke(linewidth=3, foreground="white")
    axis.text(*place, name, color=colour, weight="bold", size=11, ha="center", va="center", path_effects=[halo])


def names(topics: Sequence[Topic]) -> list[str]:
    """Return a short name for each topic: its most telling term that names no larger one, where it has one."""
    used: list[str] = []
    for topic in topics:
        used.append(next((term for term in topic.terms if term not in used), ", ".join(topic.terms)))
    return used


def middle(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the one of some places, ``(n, 2)``, that lies closest to their median: inside, where they are."""
    distances = np.linalg.norm(places - np.median(places, axis=0), axis=1)
    nearest: NDArray[np.float64] = places[int(distances.argmin())]
    return nearest
