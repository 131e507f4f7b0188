"""Questions: from the text that somebody types to a query, with its operators read and its unknown words corrected."""

from __future__ import annotations

from collections.abc import Sequence

from docsim.encoding.documents import encode_documents
from docsim.engine.base import Snapshot
from docsim.engine.records import QueryTerm
from docsim.filters.condition import narrowed
from docsim.models import Document
from docsim.search.corrections import corrected
from docsim.search.retrieval import ParsedQuestion, Query
from docsim.search.searcher import Request
from docsim.search.syntax import parsed

__all__ = ["questions"]


def questions(snapshot: Snapshot, texts: Sequence[str], request: Request) -> list[Query]:
    """Return the queries for some texts, which are encoded together.

    Args:
        snapshot: What is searched.
        texts: Questions, a few words or whole texts, none of them blank.
        request: How they are to be answered.
    """
    asked = [ParsedQuestion() if request.plain else _asked(snapshot, text, request) for text in texts]
    documents = [Document("query", one.text or text) for one, text in zip(asked, texts, strict=True)]
    vectors = encode_documents(snapshot.encoder, documents, role="query")
    return [
        Query(Document("query", text).text, document, rows, asked=one)  # a name without what cannot be printed
        for text, document, rows, one in zip(texts, documents, vectors, asked, strict=True)
    ]


def _asked(snapshot: Snapshot, text: str, request: Request) -> ParsedQuestion:
    said = parsed(text)
    where = narrowed(request.where, *said.conditions)
    text, corrections = corrected(snapshot, said.text, meant=said.quoted, where=where, visible=request.visible)
    terms = tuple(QueryTerm((word,), beginning=True) for word in said.beginnings)
    return ParsedQuestion(text, said.conditions, terms, said.operators, corrections)
