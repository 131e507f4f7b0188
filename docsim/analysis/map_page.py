"""The map as one HTML page: titles under the pointer, topics to switch on and off, words to search for, no network."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import numpy as np

from docsim.analysis.topic_map import KnowledgeMap, middle, names
from docsim.rendering.pages import frame
from docsim.rendering.plots import COLOURS

__all__ = ["map_page"]


def map_page(found: KnowledgeMap, *, title: str) -> str:
    """Return the page.

    Args:
        found: What to draw.
        title: What it is a map of.
    """
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
    points = [[point.x, point.y, point.topic, point.id, point.title] for point in found.points]
    content = json.dumps({"topics": topics, "points": points}, ensure_ascii=False, separators=(",", ":"))
    embedded = content.replace("<", "\\u003c")  # so that no title ends the script
    assets = Path(__file__).parent / "assets"
    body = (
        f"<aside><h1>{escape(title)}</h1><p>{len(points):,} documents. What lies close together is alike; axes and long"
        ' distances mean nothing.</p><input type="search" id="words" placeholder="find in titles and ids" autofocus>'
        '<div id="chosen"></div><ul id="topics"></ul></aside>'
        '<main><canvas id="map"></canvas><div id="tip"></div></main>'
        f'<script type="application/json" id="content">{embedded}</script>'
        f"<script>{(assets / 'map.js').read_text(encoding='utf-8')}</script>"
    )
    return frame(title, body, style=(assets / "map.css").read_text(encoding="utf-8"))
