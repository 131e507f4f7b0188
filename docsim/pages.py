"""Pages: reports as one HTML file that needs no other."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["facts", "page", "picture", "table"]

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
th, td {{ text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #ddd }}
img {{ max-width: 100% }}
</style></head><body>
<h1>{title}</h1>
{body}
</body></html>
"""


def page(title: str, body: str) -> str:
    """Return a page.

    Args:
        title: Any text.
        body: HTML.
    """
    return _PAGE.format(title=html.escape(title), body=body)


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
