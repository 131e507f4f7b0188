"""Pages: reports as one HTML file that needs no other."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["facts", "frame", "page", "picture", "table"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #ddd }
img { max-width: 100% }
"""


def frame(title: str, body: str, *, style: str = "") -> str:
    """Return a whole HTML page.

    Args:
        title: Any text.
        body: HTML; whatever came from documents has to be escaped in it.
        style: CSS beyond what all pages have.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}{style}</style></head><body>\n{body}\n</body></html>\n"
    )


def page(title: str, body: str, *, style: str = "") -> str:
    """Return a ``frame`` whose title is its heading, too."""
    return frame(title, f"<h1>{html.escape(title)}</h1>\n{body}", style=style)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; what is in its cells is text."""
    first = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    lines = ("".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows)
    return f"<table><tr>{first}</tr>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def facts(told: Mapping[str, object]) -> str:
    """Return a table of names and values."""
    lines = (f"<tr><th>{html.escape(k)}</th><td>{html.escape(str(v))}</td></tr>" for k, v in told.items())
    return "<table>" + "".join(lines) + "</table>"


def picture(content: bytes, title: str) -> str:
    """Return a PNG under a heading, its bytes in the page."""
    encoded, named = base64.b64encode(content).decode(), html.escape(title)
    return f'<h2>{named}</h2><img alt="{named}" src="data:image/png;base64,{encoded}">'
