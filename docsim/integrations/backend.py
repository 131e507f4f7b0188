"""The backend of all integrations: finds passages in an index, or asks a docsim server for them.

An address decides which: ``http://...`` and ``https://...`` are servers, everything else is what ``Index.open`` takes.
Both give the same passages, since a server answers with the JSON of what the index found.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from docsim.errors import DocsimError, UsageError
from docsim.index import Index
from docsim.models import DEFAULT_MODE, Mode, Ranking

__all__ = ["TOKEN_VARIABLE", "Asked", "Backend", "Filter", "FoundPassage", "is_server", "opened"]

Filter = str | Mapping[str, Any] | None
"""An expression, or a mapping of values by field name; see ``Index.search``."""

TOKEN_VARIABLE = "DOCSIM_TOKEN"
"""The variable of the environment that may hold the token for a server."""

_TIMEOUT = 60.0  # seconds; a server ends a request of its own accord before
_REFUSED = range(400, 500)


@dataclass(frozen=True, slots=True)
class Asked:
    """How passages are chosen.

    Attributes:
        k: The number of documents, at least 1.
        passages: How many passages of each document, 1 to 3; fewer where it has fewer.
        mode: Rank by embeddings (``dense``), by words (``lexical``) or by both (``hybrid``).
        where: What the metadata of documents have to be like: an expression, or a mapping of values by field name.
        within: Only documents whose id is this path or lies below it.
        min_similarity: Leave out documents that are less similar, in [-1, 1].

    Raises:
        UsageError: ``k`` or ``passages`` is out of range.
    """

    k: int = 10
    passages: int = 1
    mode: Mode = DEFAULT_MODE
    where: Filter = None
    within: str = ""
    min_similarity: float | None = None

    def __post_init__(self) -> None:
        for name, value, most in (("k", self.k, None), ("passages", self.passages, 3)):
            if value < 1 or (most and value > most):
                upper = f" to {most}" if most else " or more"
                raise UsageError(f"expected {name} to be 1{upper}, got {value}")


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """A passage of a document that was found.

    Attributes:
        document: The document's id.
        title: Its title.
        text: The passage, which is ``text[start:end]`` of the document.
        start: Offset of its first character.
        end: Offset one past its last character.
        heading: The headings above it, joined by `` > ``.
        rank: The document's rank, 1 for the best.
        score: What documents are ranked by; compare it within one answer only.
        similarity: The highest inner product of this passage and one of the question, in [-1, 1].
        metadata: The document's own metadata.
    """

    document: str
    title: str
    text: str
    start: int
    end: int
    heading: str
    rank: int
    score: float
    similarity: float
    metadata: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What the passage is called: unique in an index."""
        return f"{self.document}#{self.start}-{self.end}"

    def described(self) -> dict[str, Any]:
        """Return the document's metadata, and under ``docsim`` where the passage is and why it was found."""
        own = {
            "id": self.document,
            "title": self.title,
            "start": self.start,
            "end": self.end,
            "heading": self.heading,
            "rank": self.rank,
            "score": self.score,
            "similarity": self.similarity,
        }
        return {**self.metadata, "docsim": own}


class Backend(Protocol):
    """Finds passages. Safe to use from several threads."""

    def search(self, text: str, asked: Asked) -> list[FoundPassage]:
        """Return passages of the best documents, best document first, and of each its best passage first.

        Raises:
            UsageError: The question or the filter is refused.
            DocsimError: The index or the server cannot answer.
        """

    def close(self) -> None:
        """Close what was opened; safe to call twice."""


def is_server(address: str) -> bool:
    """Return whether an address is that of a server."""
    return address.startswith(("http://", "https://"))


def opened(address: str, token: str | None = None) -> Backend:
    """Open what an address names.

    Args:
        address: Of a docsim server, or of an index.
        token: What the server knows the caller by; by default that of ``$DOCSIM_TOKEN``, if there is one.

    Raises:
        StoreError: There is no index at an address that is not a server's.
    """
    if is_server(address):
        return _Server(address, token or os.environ.get(TOKEN_VARIABLE))
    return _Local(Index.open(address))


class _Local:
    """An index that this process reads."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def search(self, text: str, asked: Asked) -> list[FoundPassage]:
        ranking = Ranking(min_similarity=asked.min_similarity)
        answer = self._index.search(
            text, asked.k, mode=asked.mode, where=asked.where, within=asked.within, ranking=ranking
        )
        return [
            FoundPassage(
                hit.id, hit.title, one.text, one.start, one.end, one.heading, hit.rank, hit.score, one.similarity,
                hit.metadata,
            )
            for hit in answer.hits
            for one in hit.passages[: asked.passages]
        ]  # fmt: skip

    def close(self) -> None:
        self._index.close()


class _Server:
    """A docsim server."""

    def __init__(self, address: str, token: str | None) -> None:
        self._address = address.rstrip("/")
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(headers=sent, timeout=_TIMEOUT)

    def search(self, text: str, asked: Asked) -> list[FoundPassage]:
        body = {
            "text": text,
            "k": asked.k,
            "mode": asked.mode,
            "where": asked.where,
            "in": asked.within,
            "min_similarity": asked.min_similarity,
        }
        try:
            answer = self._client.post(f"{self._address}/v1/search", json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise DocsimError(f"expected a docsim server at {self._address}, got no answer: {reason}") from error
        return list(self._read(answer, asked.passages))

    def _read(self, answer: httpx.Response, passages: int) -> Iterator[FoundPassage]:
        if answer.status_code != httpx.codes.OK:
            kind = UsageError if answer.status_code in _REFUSED else DocsimError
            raise kind(f"the server at {self._address} refused the question: {_reason(answer)}")
        try:
            for hit in answer.json()["hits"]:
                for one in hit["passages"][:passages]:
                    yield FoundPassage(
                        hit["id"], hit["title"], one["text"], one["start"], one["end"], one["heading"], hit["rank"],
                        hit["score"], one["similarity"], hit["metadata"],
                    )  # fmt: skip
        except (ValueError, KeyError, TypeError) as error:
            raise DocsimError(
                f"expected a docsim server at {self._address}, got an answer of something else"
            ) from error

    def close(self) -> None:
        self._client.close()


def _reason(answer: httpx.Response) -> str:
    """Return why a server refused: the sentence that a docsim server gives, or the status."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
