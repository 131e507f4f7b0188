"""Questions: what two generations are asked, to tell which one answers better.

JudgedQueries    queries that people have judged
HeldOut          for an index without judgements: questions made from documents; see ``docsim.reindex.held_out``
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Protocol

from docsim.errors import StoreError, UsageError
from docsim.evaluation import judgements
from docsim.evaluation.judgements import Qrels
from docsim.evaluation.measures import DEFAULT_METRICS
from docsim.index import Index
from docsim.models import DEFAULT_MODE, SearchResult

__all__ = ["DEPTH", "JUDGED", "Answer", "Found", "JudgedQueries", "Questions", "judged"]

DEPTH = 100
"""How many hits of each ranking are judged."""

JUDGED = "quality"
"""The kind of judged queries."""

MOST_QUERIES = 1000
"""The largest number of judged queries that are asked; if there are more, a random sample of them is."""

_TOGETHER = 64  # queries per batch


@dataclass(frozen=True, slots=True)
class Found:
    """A document in an answer: its id, its title, and the similarity of its best passage, in [-1, 1]."""

    id: str
    title: str
    similarity: float


Answer = Sequence[Found]
"""The documents found for a question, best first."""


class Questions(Protocol):
    """Questions that can be asked of any generation.

    Attributes:
        source: What kind of questions they are, for people.
        texts: The questions as people read them, by id.
        kinds: The kind of each question, by id; the kinds are compared apart.
        qrels: The relevant documents of each question.
        metrics: The metrics to compute.
    """

    @property
    def source(self) -> str: ...
    @property
    def texts(self) -> Mapping[str, str]: ...
    @property
    def kinds(self) -> Mapping[str, str]: ...
    @property
    def qrels(self) -> Qrels: ...
    @property
    def metrics(self) -> Sequence[str]: ...

    def ask(self, index: Index) -> dict[str, Answer]:
        """Return the answer of an index, opened at one generation, to each question that it can answer."""
        ...


@dataclass(frozen=True, slots=True)
class JudgedQueries:
    """Queries that people have judged.

    Attributes:
        texts: The queries' texts, by id.
        qrels: The judgements.
        by_text: Whether queries are texts; otherwise they are ids of indexed documents.
        source: What kind of questions they are, for people.
        metrics: The metrics to compute.
    """

    texts: Mapping[str, str]
    qrels: Qrels
    by_text: bool
    source: str = f"judged queries, {DEFAULT_MODE}"
    metrics: Sequence[str] = DEFAULT_METRICS

    @property
    def kinds(self) -> Mapping[str, str]:
        """``JUDGED`` for every query."""
        return dict.fromkeys(self.qrels, JUDGED)

    def ask(self, index: Index) -> dict[str, Answer]:
        """Return the documents found for each query, by the same search that users run."""
        return {query: _shown(result) for query, result in self._results(index)}

    def _results(self, index: Index) -> Iterator[tuple[str, SearchResult]]:
        queries = list(self.qrels)
        if not self.by_text:
            for query in queries:
                with suppress(UsageError, StoreError):  # changed or removed since, and so not in both generations
                    yield query, index.similar(query, DEPTH)
            return
        for start in range(0, len(queries), _TOGETHER):
            some = queries[start : start + _TOGETHER]
            yield from zip(some, index.search_many([self.texts[query] for query in some], DEPTH), strict=True)


def judged(index: Index, qrels: Qrels, texts: Mapping[str, str] | None = None, *, seed: int = 0) -> JudgedQueries:
    """Return the judged queries that an index can answer.

    Args:
        index: The index.
        qrels: The judgements.
        texts: The queries' texts by id. Without them, each query is an indexed document, and is left out of its own
            answer.
        seed: Decides which queries are sampled, if there are more than 1,000.

    Raises:
        UsageError: No query has both a relevant document and, in the index or in ``texts``, a text.
    """
    relevant = judgements.relevant(qrels if texts else judgements.without_self(qrels))
    can = [query for query in relevant if (query in texts if texts else index.has(query))]
    if not can:
        raise UsageError(f"expected judged queries with a text and a relevant document, found none among {len(qrels)}")
    chosen = Random(seed).sample(can, MOST_QUERIES) if len(can) > MOST_QUERIES else can
    asked = {query: relevant[query] for query in chosen}
    return JudgedQueries(texts or {query: query for query in asked}, asked, texts is not None)


def _shown(result: SearchResult) -> Answer:
    return [Found(hit.id, hit.title, hit.similarity) for hit in result.hits]
