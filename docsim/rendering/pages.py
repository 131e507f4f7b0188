"""Reports as HTML pages that need no other files."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["facts", "frame", "page", "picture", "shown", "table", "visible"]

_BETWEEN_TAGS = re.compile(r">[^<>]*")
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, unpaired surrogates, and marks that turn the direction of text: ``invoice`` and U+202E make
``gpj.exe`` a picture."""

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
        title: The page's title, as plain text.
        body: The page's content as HTML. Text that comes from documents must be escaped by the caller.
        style: CSS to add to the style that all pages share.
    """
    return shown(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}{style}</style></head><body>\n{body}\n</body></html>\n"
    )


def shown(written: str) -> str:
    """Return HTML whose texts, but not attributes, have control characters and turns of direction spelled out."""
    if not _UNSEEN.search(written):
        return written
    return _BETWEEN_TAGS.sub(lambda text: visible(text[0]), written)


def visible(text: str) -> str:
    """Return a text with control characters and turns of direction spelled out, as ``u202e`` after a backslash."""
    return _UNSEEN.sub(lambda match: ascii(match[0])[1:-1], text)


def page(title: str, body: str, *, style: str = "") -> str:
    """Return a whole HTML page that shows its title as a heading; see ``frame`` for the arguments."""
    return frame(title, f"<h1>{html.escape(title)}</h1>\n{body}", style=style)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an HTML table. Head and cells are plain text, which is escaped here."""
    first = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    lines = ("".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows)
    return f"<table><tr>{first}</tr>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def facts(values: Mapping[str, object]) -> str:
    """Return an HTML table with one row for each name and its value. Both are plain text, which is escaped here."""
    lines = (f"<tr><th>{html.escape(k)}</th><td>{html.escape(str(v))}</td></tr>" for k, v in values.items())
    return "<table>" + "".join(lines) + "</table>"


def picture(content: bytes, title: str) -> str:
    """Return a heading and a picture, as HTML that holds the bytes of the PNG itself."""
    encoded, named = base64.b64encode(content).decode(), html.escape(title)
    return f'<h2>{named}</h2><img alt="{named}" src="data:image/png;base64,{encoded}">'
