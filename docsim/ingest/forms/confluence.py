"""Confluence: the export of a space, as HTML or as XML."""

from __future__ import annotations

from collections.abc import Iterator

from docsim.ingest.forms import confluence_html, confluence_xml
from docsim.ingest.trees.tree import Tree
from docsim.models import Item

__all__ = ["documents", "recognise"]


def recognise(tree: Tree) -> bool:
    """Return whether a tree is the export of a space."""
    return confluence_xml.recognise(tree) or confluence_html.recognise(tree)


def documents(tree: Tree) -> Iterator[Item]:
    """Yield the pages, posts and attachments of a space."""
    return confluence_xml.documents(tree) if "entities.xml" in tree.glance() else confluence_html.documents(tree)
