"""Arguments: what a command's argument stands for: an indexed id, the path of a file, standard input, or a question."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from docsim.engine.retrying import retried
from docsim.errors import UsageError
from docsim.index import Index
from docsim.models import Document
from docsim.search.asking import meant_by
from docsim.text.storing import composed

__all__ = ["file_named", "subject"]

_NAME = re.compile(r"\S*(?:/\S*|\.\w{1,8})")
"""What looks like an id or a path rather than a question."""


def file_named(name: str) -> Path | None:
    """Return the file of this name, or None when there is none or there cannot be one."""
    try:
        path = Path(name).expanduser()
        return path if path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # too long a name, an unknown ~user
        return None


def subject(index: Index, given: str, *, question: bool = False) -> str | Document:
    """Return the indexed id, or the document, that an argument stands for.

    Args:
        index: Where ids are looked up first.
        given: An indexed id, the path of a file, or ``-`` for standard input.
        question: Whether it may also be a question; what looks like a path must be one.

    Raises:
        UsageError: It is nothing of these, or there is no text on standard input.
        SourceError: The file cannot be read.
    """
    if given == "-":
        text = sys.stdin.buffer.read().decode("utf-8", "replace")
        if not text.strip():
            raise UsageError("expected a text on standard input, got none")
        return Document("-", text)
    for id in (given, composed(given)):
        if index.has(id):
            return id
    if path := file_named(given):
        from docsim.ingest.sources import read_document

        document = read_document(path)
        if not document.text.strip():
            raise UsageError(f"expected a text in {path}, found none")
        return document
    if question and given.strip() and not _NAME.fullmatch(given):
        return Document("query", given)
    expected = "an id in {}, the path of a file, {}".format(
        index.engine.address, "- or a question" if question else "or -"
    )
    raise UsageError(f"expected {expected}; got {given!r}{_meant(index, given)}")


@retried
def _meant(index: Index, given: str) -> str:
    with index.engine.snapshot() as snapshot:
        return meant_by(snapshot, given)
