"""Questions: what two generations are asked, to tell which one answers better.

    JudgedQueries    queries that people have judged
    HeldOutSpans     for an index without judgements: spans cut out of documents, each of which has to find its document

A span shares names and phrases with the rest of its document, by which any encoder would find it. So half of the words
that both contain are removed from the span, as in the probe that decides when training stops
(docs/research/training.md). The rest of the document is embedded again, and takes the document's place among all other
documents.
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

from docsim.encoding.documents import encode_documents, encode_texts
from docsim.engine.base import Snapshot
from docsim.engine.records import StoredDocument
from docsim.engine.retrying import retried
from docsim.errors import StoreError, UsageError
from docsim.evaluation import judgements
from docsim.evaluation.judgements import Qrels
from docsim.evaluation.measures import DEFAULT_METRICS
from docsim.index import Index
from docsim.models import DEFAULT_MODE, Document, SearchResult
from docsim.search import scoring

__all__ = ["DEPTH", "Answer", "Found", "HeldOutSpans", "JudgedQueries", "Questions", "held_out", "judged"]

DEPTH = 100
"""How many hits of each ranking are judged."""

MOST_SPANS = 300
"""The largest number of spans that are held out."""

MOST_QUERIES = 1000
"""The largest number of judged queries that are asked; if there are more, a random sample of them is."""

_TOGETHER = 64  # queries or documents per batch
_SPAN_WORDS = (8, 40)  # the smallest and largest number of words in a span
_REST_WORDS = 30  # the least number of words in the rest of the document
_KEPT_WORDS = 5  # if removing shared words would leave fewer, all words are kept
_STRIKE = 0.5  # the probability with which a shared word is removed
_LEAST_DOCUMENTS = 10  # with fewer documents held out of training, spans come from all documents
_MOST_EACH = 10  # the largest number of spans of one document
_BY = "by embeddings alone"  # shared words would find the document with any encoder
_UNSEEN = "held-out spans of documents unseen"
_MOST_CHARACTERS = 50_000  # spans come from this many leading characters of a document
_NEIGHBOURS = 50  # the documents of this many nearest passages are ranked


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
        texts: The texts of the questions, for people, by id.
        qrels: The relevant documents of each question.
        metrics: The metrics to compute.
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
class _Span:
    """A span, the number of the document that it was cut out of, and the rest of that document."""

    text: str
    number: int
    rest: Document


@dataclass(frozen=True, slots=True)
class HeldOutSpans:
    """Spans cut out of documents, each of which has to find its document.

    Attributes:
        spans: The spans, by id.
        source: What kind of questions they are, for people.
        metrics: The metrics to compute.
    """

    spans: Mapping[str, _Span]
    source: str = f"held-out spans of documents, {_BY}"
    metrics: Sequence[str] = ("nDCG@10", "RR@10")  # not recall: the document of a span is always among those ranked

    @property
    def texts(self) -> Mapping[str, str]:
        """The texts of the spans, by id."""
        return {id: span.text for id, span in self.spans.items()}

    @property
    def qrels(self) -> Qrels:
        """For each span, the document that it was cut out of."""
        return {id: {span.rest.id: 1} for id, span in self.spans.items()}

    @retried
    def ask(self, index: Index) -> dict[str, Answer]:
        """Return the documents found for each span; of its own document, the rest is ranked."""
        encoder = index.encoder
        spans = list(self.spans.values())
        queries = encode_texts(encoder, [span.text for span in spans], role="query")
        rests = encode_documents(encoder, [span.rest for span in spans])
        with index.engine.snapshot() as snapshot:
            nearest = snapshot.knn(queries, _NEIGHBOURS).documents
            found = zip(self.spans.items(), queries, nearest, rests, strict=True)
            return {
                id: _ranked(snapshot, span, query=query, nearest=near, rest=rest.astype(np.float16))
                for (id, span), query, near, rest in found
            }


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


@retried
def held_out(index: Index, *, only: Sequence[str] = (), seed: int = 0) -> HeldOutSpans:
    """Cut spans out of documents of an index: one out of each, or several if there are few documents.

    Args:
        index: The index.
        only: Ids of the documents that were held out of training, since an encoder finds what it was trained on too
            easily. If there are fewer than ten, spans come from all documents.
        seed: Decides which documents are sampled, if there are more than 300.
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
    """Yield documents in the order of ``numbers``, with only one batch in memory."""
    for start in range(0, len(numbers), _TOGETHER):
        some = numbers[start : start + _TOGETHER]
        documents = snapshot.documents(some)
        yield from (documents[number] for number in some)


def _spans(documents: Iterable[StoredDocument], *, each: int = 1) -> dict[str, _Span]:
    """Cut spans out of documents until there are enough; documents that are too short are skipped."""
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
    """Cut a span out of a document; None if it is too short. The same arguments always give the same span."""
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
    """Rank the documents of the nearest passages together with the rest of the span's own document."""
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
