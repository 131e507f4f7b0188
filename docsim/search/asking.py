"""Asking: from what a user gives (texts, a document or an id) to queries and their results."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from docsim.encoding.documents import encode_documents
from docsim.engine.base import Engine, Snapshot
from docsim.engine.records import StoredDocument
from docsim.engine.retrying import retried
from docsim.errors import UsageError
from docsim.models import Document, Mode, Ranking, SearchResult
from docsim.search.questions import questions
from docsim.search.searcher import Query, Request, search
from docsim.search.side_by_side import search_many

if TYPE_CHECKING:
    from docsim.filters.condition import Condition
    from docsim.filters.where import Where
    from docsim.search.suggestions import Suggestions

__all__ = ["ask", "ask_indexed", "ask_texts", "meant_by", "requested", "stored_document", "suggested"]

_COMPARED = 5000
"""Ids that are compared with one that does not exist, to find what was meant."""


def requested(
    k: int, mode: Mode, where: Where, within: str, ranking: Ranking | None, *, plain: bool = False
) -> Request:
    """Return what a user asks for, see ``Index.search``, as a request.

    Raises:
        UsageError: ``k`` is out of range, there is no such mode, or ``where`` cannot be parsed.
    """
    return Request(k, mode, ranking or Ranking(), _condition(where, within), plain)


def ask_texts(engine: Engine, texts: Sequence[str], request: Request, *, started: float) -> list[SearchResult]:
    """Search for documents similar to each of several texts.

    Raises:
        UsageError: A text is blank.
    """
    if isinstance(texts, str) or not all(text.strip() for text in texts):
        raise UsageError(f"expected texts to search for, none of them blank, got {texts!r:.200}")
    return _ask(engine, lambda snapshot: questions(snapshot, texts, request), request, started=started)


def ask(
    engine: Engine, document: Document, request: Request, *, started: float, exclude: int | None = None
) -> SearchResult:
    """Encode a document like indexed ones, and search for documents similar to it.

    Args:
        engine: Keeps the index that is searched.
        document: What to search for.
        request: How many hits are wanted, and what ranks and chooses them.
        started: ``time.perf_counter()`` when the request came.
        exclude: The number of an indexed document to leave out.
    """
    excluded = () if exclude is None else (exclude,)

    def queries(snapshot: Snapshot) -> list[Query]:
        return [Query(document.id, document, encode_documents(snapshot.encoder, [document])[0], excluded)]

    return _ask(engine, queries, request, started=started)[0]


@retried
def _ask(
    engine: Engine, queries: Callable[[Snapshot], list[Query]], request: Request, *, started: float
) -> list[SearchResult]:
    """Search for queries that are made in the state that is searched."""
    engine.prepare()
    with engine.snapshot(encoder=True) as snapshot:
        return search_many(engine, snapshot, queries(snapshot), request, started=started)


@retried
def ask_indexed(engine: Engine, id: str, request: Request) -> SearchResult:
    """Search for documents similar to an indexed one, by its stored embeddings; the document itself is left out.

    Raises:
        UsageError: There is no document with this id.
    """
    started = time.perf_counter()
    with engine.snapshot() as snapshot:
        stored = stored_document(snapshot, id)
        vectors = snapshot.embeddings(np.array([stored.number], np.int64))[0].astype(np.float32)
        query = Query(id, stored.document, vectors, exclude=(stored.number,))
        return search(snapshot, [query], request, started=started)[0]


@retried
def suggested(engine: Engine, text: str, request: Request) -> Suggestions:
    """Return completions of a text that somebody is typing: as many words, and as many titles, as hits are wanted."""
    from docsim.search.suggestions import suggestions  # here, because searching does not need it

    with engine.snapshot() as snapshot:
        return suggestions(snapshot, text, request.k, where=request.where)


def stored_document(snapshot: Snapshot, id: str) -> StoredDocument:
    """Return an indexed document.

    Raises:
        UsageError: There is none with this id.
    """
    number = snapshot.number(id)
    if number is None:
        raise UsageError(
            f"expected the id of an indexed document, found no document {id!r} in the index{meant_by(snapshot, id)}"
        )
    return snapshot.documents([number])[number]


def meant_by(snapshot: Snapshot, id: str) -> str:
    """Return a question that names the ids most like one that does not exist; empty if there is none like it."""
    import difflib

    ids = [one.document.id for one in snapshot.scan(characters=0)]
    name = id.rpartition("/")[2].casefold()
    close = [one for one in ids if one.casefold() == id.casefold()]
    close = close or difflib.get_close_matches(id, itertools.islice(ids, _COMPARED), n=3, cutoff=0.6)
    close = close or [one for one in ids if name in (one.rpartition("/")[2].casefold(), _stem(one))][:3]
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _stem(id: str) -> str:
    return id.rpartition("/")[2].partition(".")[0].casefold()


def _condition(where: Where, within: str) -> Condition | None:
    if where is None and not within:
        return None
    from docsim.filters.where import wanted  # here, because most searches do without

    return wanted(where, within)
