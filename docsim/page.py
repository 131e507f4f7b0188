"""Page: the frame of an HTML report that needs no other file and no network."""

from __future__ import annotations

import html

__all__ = ["page"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #ddd }
img { max-width: 100% }
"""


def page(title: str, body: str, *, style: str = "") -> str:
    """Return a whole HTML page.

    Args:
        title: Plain text.
        body: HTML; whatever came from documents has to be escaped in it.
        style: CSS beyond what all pages have.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}{style}</style></head><body>\n{body}\n</body></html>\n"
    )
