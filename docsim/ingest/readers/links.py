"""Removes the addresses of links from Markdown that a library made, and keeps their text."""

from __future__ import annotations

import re

from docsim.ingest.content import tidy

__all__ = ["unlinked"]

_LINK = re.compile(
    r"!\[([^\[\]\n]*)\]\([^()\n]*\)|\[([^\[\]\n]*)\]\((?:https?:|mailto:|#|[^()\s#]{1,1000}\.x?html?\b)[^()\n]*\)"
)


def unlinked(converted: str) -> str:
    """Return Markdown with links and images replaced by their text."""
    return tidy(_LINK.sub(lambda match: match[1] or match[2] or "", converted))
