"""Questions: what two generations are asked, so that one can be called better than the other.

    JudgedQueries     the queries that people judged
    HeldOutSpans    without judgements: a span is cut out of a document and has to find what is left of it

A span shares names and phrases with the rest of its document, by which any encoder finds it; so half of the words that
both have are struck out of the span, as in the probe that training is stopped by (docs/research/training.md). What is left of
the document is embedded anew and stands in for it among all others as they are stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.documents import encode_documents
from docsim.engine.base import Snapshot
from docsim.engine.records import StoredDocument
from docsim.errors import StoreError, UsageError
from docsim.evaluation import judgements
from docsim.evaluation.judgements import Qrels
from docsim.evaluation.measures import DEFAULT_METRICS
from docsim.index import Index
from docsim.models import DEFAULT_MODE, Document, SearchResult
from docsim.search import scoring

__all__ = ["DEPTH", "Answer", "Found", "HeldOutSpans", "JudgedQueries", "Questions", "held_out", "judged"]

DEPTH = 100
"""Places of a ranking that are judged."""

MOST_SPANS = 300
"""Spans that are held out, of as many documents."""

MOST_QUERIES = 1000
"""JudgedQueries queries that are asked; of more, as many drawn by lot."""

_TOGETHER = 64  # queries, or documents, that are encoded together
_SPAN_WORDS = (8, 40)  # of a span, at least and at most
_REST_WORDS = 30  # that have to be left of its document
_KEPT_WORDS = 5  # that striking out has to leave of a span
_STRIKE = 0.5
_LEAST_DOCUMENTS = 10  # held out of training, for spans to be cut out of them alone
_MOST_EACH = 10  # spans of one document
_BY = "by embeddings alone"  # words in common find a span's document whatever the encoder is
_UNSEEN = "held-out spans of documents unseen"
_MOST_CHARACTERS = 50_000  # of a document that a span is cut out of
_NEIGHBOURS = 50  # nearest passages whose documents are ranked


@dataclass(frozen=True, slots=True)
class Found:
    """One document found: its id, its title, and the similarity of its best passage, in [-1, 1]."""

    id: str
    title: str
    similarity: float


Answer = Sequence[Found]
"""What a question found, best first."""


class Questions(Protocol):
    """What can be asked of any generation.

    Attributes:
        source: What they are, for people.
        texts: What is asked, for people, by the question's id.
        qrels: What is to be found.
        metrics: What answers are judged by.
    """

    @property
    def source(self) -> str: ...
    @property
    def texts(self) -> Mapping[str, str]: ...
    @property
    def qrels(self) -> Qrels: ...
    @property
    def metrics(self) -> Sequence[str]: ...

    def ask(self, index: Index) -> dict[str, Answer]:
        """Return what an index, opened at one generation, finds for each question."""
        ...


@dataclass(frozen=True, slots=True)
class JudgedQueries:
    """Queries that people judged: texts, or, without ``by_text``, indexed documents."""

    texts: Mapping[str, str]
    qrels: Qrels
    by_text: bool
    source: str = f"judged queries, {DEFAULT_MODE}"
    metrics: Sequence[str] = DEFAULT_METRICS

    def ask(self, index: Index) -> dict[str, Answer]:
        """Return what each query finds, searched for as a user would."""
        return {query: _shown(result) for query, result in self._results(index)}

    def _results(self, index: Index) -> Iterator[tuple[str, SearchResult]]:
        queries = list(self.qrels)
        if not self.by_text:
            for query in queries:
                with suppress(UsageError, StoreError):  # it was written or removed since, and is not in both
                    yield query, index.similar(query, DEPTH)
            return
        for start in range(0, len(queries), _TOGETHER):
            some = queries[start : start + _TOGETHER]
            yield from zip(some, index.search_many([self.texts[query] for query in some], DEPTH), strict=True)


@dataclass(frozen=True, slots=True)
class _Span:
    """A span, and the document that it was cut out of, without it."""

    text: str
    number: int
    rest: Document


@dataclass(frozen=True, slots=True)
class HeldOutSpans:
    """Spans that have to find their documents."""

    spans: Mapping[str, _Span]
    source: str = f"held-out spans of documents, {_BY}"
    metrics: Sequence[str] = ("nDCG@10", "RR@10")  # a span's own document is always among those that are ranked

    @property
    def texts(self) -> Mapping[str, str]:
        """The spans."""
        return {id: span.text for id, span in self.spans.items()}

    @property
    def qrels(self) -> Qrels:
        """For each span its own document."""
        return {id: {span.rest.id: 1} for id, span in self.spans.items()}

    def ask(self, index: Index) -> dict[str, Answer]:
        """Return what each span finds among all documents, its own being what is left of it."""
        encoder = index.encoder
        spans = list(self.spans.values())
        queries = encoder.encode([span.text for span in spans])
        rests = encode_documents(encoder, [span.rest for span in spans])
        with index.engine.snapshot() as snapshot:
            nearest = snapshot.knn(queries, _NEIGHBOURS).documents
            found = zip(self.spans.items(), queries, nearest, rests, strict=True)
            return {
                id: _ranked(snapshot, span, query=query, nearest=near, rest=rest.astype(np.float16))
                for (id, span), query, near, rest in found
            }


def judged(index: Index, qrels: Qrels, texts: Mapping[str, str] | None = None, *, seed: int = 0) -> JudgedQueries:
    """Return the judged queries that can be asked.

    Args:
        index: What is to be asked.
        qrels: The judgements.
        texts: The queries by id; without them a query is an indexed document, which is left out of its own result.
        seed: Of the choice where there are more than 1,000.

    Raises:
        UsageError: No query can be asked and has a relevant document.
    """
    relevant = judgements.relevant(qrels if texts else judgements.without_self(qrels))
    can = [query for query in relevant if (query in texts if texts else index.has(query))]
    if not can:
        raise UsageError(f"expected judged queries that can be asked, found none among {len(qrels)}")
    chosen = Random(seed).sample(can, MOST_QUERIES) if len(can) > MOST_QUERIES else can
    asked = {query: relevant[query] for query in chosen}
    return JudgedQueries(texts or {query: query for query in asked}, asked, texts is not None)


def held_out(index: Index, *, only: Sequence[str] = (), seed: int = 0) -> HeldOutSpans:
    """Cut spans out of documents of an index: one out of each, or several where there are few documents.

    Args:
        index: Where the documents are.
        only: Ids of the documents that training held out: an encoder finds what it was trained on too easily. Without
            them, as where there are fewer than ten of them, all documents count.
        seed: Of the choice where there are more than 300.
    """
    with index.engine.snapshot() as snapshot:
        known = [number for id in only if (number := snapshot.number(id)) is not None]
        if len(known) >= _LEAST_DOCUMENTS:
            documents = snapshot.documents(known)
            each = max(1, min(_MOST_EACH, MOST_SPANS // len(known)))
            return HeldOutSpans(
                _spans((documents[number] for number in known), each=each), f"{_UNSEEN} in training, {_BY}"
            )
        numbers = list(snapshot.passage_counts())
        Random(seed).shuffle(numbers)
        return HeldOutSpans(_spans(_read(snapshot, numbers)))


def _read(snapshot: Snapshot, numbers: Sequence[int]) -> Iterator[StoredDocument]:
    """Yield documents in an order of your own, some in memory at a time."""
    for start in range(0, len(numbers), _TOGETHER):
        some = numbers[start : start + _TOGETHER]
        documents = snapshot.documents(some)
        yield from (documents[number] for number in some)


def _spans(documents: Iterable[StoredDocument], *, each: int = 1) -> dict[str, _Span]:
    """Cut spans out of documents, until there are enough; of a document that is too short none."""
    spans: dict[str, _Span] = {}
    for stored in documents:
        for turn in range(each):
            span = _cut(stored.number, stored.document, turn)
            if span is not None:
                spans[f"{stored.document.id} #{turn + 1}"] = span
        if len(spans) >= MOST_SPANS:
            break
    return spans


def _cut(number: int, document: Document, turn: int) -> _Span | None:
    """Cut a span out of a document, the same one whenever it is asked for."""
    words = document.text[:_MOST_CHARACTERS].split()
    if len(words) < _SPAN_WORDS[0] + _REST_WORDS:
        return None
    random = Random(hashlib.sha256(f"{turn} {document.id}\n{document.text}".encode()).digest())
    length = random.randint(_SPAN_WORDS[0], min(_SPAN_WORDS[1], len(words) - _REST_WORDS))
    start = random.randint(0, len(words) - length)
    span, rest = words[start : start + length], words[:start] + words[start + length :]
    shared = {word.casefold() for word in span} & {word.casefold() for word in rest}
    struck = {word for word in sorted(shared) if random.random() < _STRIKE}
    kept = [word for word in span if word.casefold() not in struck]
    text = " ".join(kept if len(kept) >= _KEPT_WORDS else span)
    return _Span(text, number, Document(document.id, " ".join(rest), document.title))


def _ranked(
    snapshot: Snapshot,
    span: _Span,
    *,
    query: NDArray[np.float32],
    nearest: NDArray[np.int64],
    rest: NDArray[np.float16],
) -> Answer:
    """Rank the documents of the nearest passages, and what is left of the span's own document."""
    others = np.setdiff1d(nearest, [span.number])
    ranked = scoring.rank(query[None], [*snapshot.embeddings(others), rest], DEPTH)
    numbers = [*others.tolist(), span.number]
    documents = snapshot.documents([numbers[one.position] for one in ranked])
    found = []
    for one in ranked:
        stored = documents.get(numbers[one.position])
        if stored is not None:
            found.append(Found(stored.document.id, stored.document.title, float(one.similarities.max())))
    return found


def _shown(result: SearchResult) -> Answer:
    return [Found(hit.id, hit.title, hit.similarity) for hit in result.hits]
