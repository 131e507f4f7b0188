"""The topic map as one HTML page that works without a network.

It shows titles under the pointer, switches topics on and off, and searches in titles and ids.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import numpy as np

from docsim.analysis.topic_map import KnowledgeMap, middle, names
from docsim.rendering.pages import frame, visible
from docsim.rendering.plots import COLOURS

__all__ = ["map_page"]


def map_page(found: KnowledgeMap, *, title: str) -> str:
    """Return the map as an HTML page.

    Args:
        found: The map.
        title: The page's title: what it is a map of.
    """
    assets = Path(__file__).parent / "assets"
    body = (
        f"<aside><h1>{escape(title)}</h1><p>{len(found.points):,} documents. Documents close together are similar; the"
        " axes and long distances have no meaning.</p>"
        '<input type="search" id="words" placeholder="Search titles and ids" autofocus>'
        '<div id="chosen"></div><ul id="topics"></ul></aside>'
        '<main><canvas id="map"></canvas><div id="tip"></div></main>'
        f'<script type="application/json" id="content">{_content(found)}</script>'
        f"<script>{(assets / 'map.js').read_text(encoding='utf-8')}</script>"
    )
    return frame(title, body, style=(assets / "map.css").read_text(encoding="utf-8"))


def _content(found: KnowledgeMap) -> str:
    """Return the topics and points of a map as JSON that can be put into a script element."""
    places = np.array([(point.x, point.y) for point in found.points])
    members = np.array([point.topic for point in found.points])
    topics = [
        {
            "name": name,
            "terms": ", ".join(topic.terms) or "no words",
            "documents": topic.documents,
            "colour": COLOURS[number % len(COLOURS)],
            "place": middle(places[members == number]).tolist(),
        }
        for number, (topic, name) in enumerate(zip(found.topics, names(found.topics), strict=True))
    ]
    points = [[point.x, point.y, point.topic, visible(point.id), visible(point.title)] for point in found.points]
    content = json.dumps({"topics": topics, "points": points}, ensure_ascii=False, separators=(",", ":"))
    return content.replace("<", "\\u003c")  # so that a title cannot end the script element
