"""Questions: what two generations are asked, to tell which one answers better.

JudgedQueries    queries that people have judged
Probe            for an index without judgements: questions made from documents; see ``docsim.reindex.probe``
Together         several of these
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
from docsim.evaluation.metrics import DEFAULT_METRICS
from docsim.index import Index
from docsim.models import DEFAULT_MODE, SearchResult
from docsim.use.judgements import Judged

__all__ = ["DEPTH", "JUDGED", "USED", "Answer", "Found", "JudgedQueries", "Questions", "Together", "judged", "used"]

DEPTH = 100
"""How many hits of each ranking are judged."""

JUDGED = "quality"
"""The kind of judged queries."""

USED = "use"
"""The kind of questions that people asked, judged by what they opened and said."""

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
        kind: The kind of all of them.
    """

    texts: Mapping[str, str]
    qrels: Qrels
    by_text: bool
    source: str = f"judged queries, {DEFAULT_MODE}"
    metrics: Sequence[str] = DEFAULT_METRICS
    kind: str = JUDGED

    @property
    def kinds(self) -> Mapping[str, str]:
        """The one kind, for every query."""
        return dict.fromkeys(self.qrels, self.kind)

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


@dataclass(frozen=True, slots=True)
class Together:
    """Questions of several sorts, asked together.

    Attributes:
        parts: The sorts; their kinds differ.
    """

    parts: Sequence[Questions]

    @property
    def source(self) -> str:
        """What the first are."""
        return self.parts[0].source

    @property
    def texts(self) -> Mapping[str, str]:
        """The questions as people read them, by id."""
        return {id: text for one in self.parts for id, text in one.texts.items()}

    @property
    def kinds(self) -> Mapping[str, str]:
        """The kind of each question, by id."""
        return {id: kind for one in self.parts for id, kind in one.kinds.items()}

    @property
    def qrels(self) -> Qrels:
        """The relevant documents of each question."""
        return {id: grades for one in self.parts for id, grades in one.qrels.items()}

    @property
    def metrics(self) -> Sequence[str]:
        """The metrics of the first that all have."""
        return [name for name in self.parts[0].metrics if all(name in one.metrics for one in self.parts)]

    def ask(self, index: Index) -> dict[str, Answer]:
        """Return the answer of an index to each question that it can answer."""
        return {id: answer for one in self.parts for id, answer in one.ask(index).items()}


def used(index: Index, found: Judged) -> JudgedQueries | None:
    """Return the questions from use that no training learns from; None where none has a relevant document."""
    held = {
        id: {one: grade for one, grade in grades.items() if index.has(one)}
        for id, grades in found.qrels("gate").items()
    }
    relevant = judgements.relevant(held)
    if not relevant:
        return None
    texts = {id: text for id, text in found.texts().items() if id in relevant}
    return JudgedQueries(texts, relevant, by_text=True, source="questions that people asked", kind=USED)


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
