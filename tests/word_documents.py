"""Documents whose words, identifiers and codes text search has to find, and the terms that queries ask them by."""

from __future__ import annotations

from opened import snapshot_of

from docsim.index import Index
from docsim.models import Document
from docsim.search import query_terms
from docsim.search.query_terms import QueryTerms

__all__ = ["DOCUMENTS", "terms"]

DOCUMENTS = [
    Document("snake", "Set max_retry_count to seven before you deploy."),
    Document("camel", "Call setMaxRetryCount(7) before the deployment."),
    Document("flag", "Run it with --no-prune, which keeps vanished files."),
    Document("code", "It ended with ERR_CONN_REFUSED and exit code 0x80070005."),
    Document("version", "Version 3.11.2 of the server is out, 3.11.1 is not safe."),
    Document("dotted", "The module foo.bar_baz.qux was renamed."),
    Document("prose", "The universities deployed a well-known server.", title="Universities"),
    Document("accents", "Das Caf\u00e9 in Z\u00fcrich \u65e5\u672c\u8a9e"),
    Document("empty", ""),
]


def terms(index: Index, text: str, title: str = "") -> QueryTerms:
    """Return what a text is asked by."""
    with snapshot_of(index) as snapshot:
        return query_terms.query_terms(snapshot, Document("query", text, title))
