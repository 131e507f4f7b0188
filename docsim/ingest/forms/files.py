"""Files: an archive whose every file is a document, by the same rules as in a folder."""

from __future__ import annotations

from collections.abc import Iterator

from docsim.ingest.forms import page
from docsim.ingest.trees.tree import Tree, id_of
from docsim.models import Item

__all__ = ["documents", "recognise"]


def recognise(tree: Tree) -> bool:
    """Return False: this is what everything is that no form recognises."""
    return False


def documents(tree: Tree) -> Iterator[Item]:
    """Yield every file that is a document."""
    for one in tree.documents():
        yield page.entry(tree, one, id_of(one)) if isinstance(one, str) else one
