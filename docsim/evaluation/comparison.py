"""Two encoders compared over the documents of an index: how far they agree, and which of them ranks better.

The stored texts are encoded with both encoders and ranked exactly, in the same way as in ``docsim.search.scoring``. If
the index has more than ``PASSAGES`` passages, a random sample of its documents is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.documents import encode_documents, encode_passages
from docsim.encoding.encoder import Encoder
from docsim.engine.base import Engine, Snapshot
from docsim.engine.retrying import retried
from docsim.errors import UsageError
from docsim.evaluation import judgements, metrics, significance
from docsim.evaluation.judgements import Qrels
from docsim.evaluation.metrics import RunReport
from docsim.evaluation.significance import RunComparison
from docsim.models import Document, Passage
from docsim.search import scoring

__all__ = [
    "PASSAGES",
    "Agreement",
    "EncodedDocuments",
    "EncodedTwice",
    "JudgedComparison",
    "agreement",
    "compare_by_judgements",
    "encode_twice",
]

PASSAGES = 20_000
"""The most passages that are encoded: about 60 MB for an encoder with 768 components."""

DEPTH = 100
"""The length of the rankings that are evaluated."""

_DOCUMENT_PASSAGES = 200  # the most passages of one document that are encoded
_QUERY_PASSAGES = 32  # the most passages of a query that are searched with
_DOCUMENTS_TOGETHER = 200  # encoded in one batch

Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EncodedDocuments:
    """The embeddings of documents by one encoder, laid out so that ranking many queries is fast.

    Rankings are those of ``docsim.search.scoring.rank``, many times faster.

    Attributes:
        rows: The embeddings of all passages, document after document, ``float32 (passages, dim)``, unit rows.
        starts: The row of each document's first passage, ``int64 (documents,)``, ascending.
        centroids: The normalised sum of each document's rows, ``float32 (documents, dim)``, unit rows.
    """

    rows: Rows
    starts: NDArray[np.int64]
    centroids: Rows

    @classmethod
    def of(cls, documents: Sequence[Rows]) -> EncodedDocuments:
        """Join the embeddings of several documents, ``float32 (passages, dim)`` each, at least one row a document."""
        counts = np.array([len(one) for one in documents], dtype=np.int64)
        rows = np.concatenate(documents)
        starts = np.cumsum(counts) - counts
        sums = np.add.reduceat(rows, starts, axis=0)
        norms = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return cls(rows, starts, sums / norms)

    def document(self, position: int) -> Rows:
        """Return the embeddings of the document at a position, ``float32 (passages, dim)``."""
        return self.rows[slice(*np.append(self.starts, len(self.rows))[position : position + 2])]

    def nearest(self, query: Rows, k: int, *, exclude: int | None = None) -> list[int]:
        """Return the positions of the documents most similar to a query, best first; ties in order of position.

        Args:
            query: The embeddings of its passages, ``float32 (passages, dim)``, unit rows; only the first 32 are used.
            k: The number of documents to return, at least 1; fewer when there are fewer.
            exclude: The position of a document to leave out.
        """
        query = query[:_QUERY_PASSAGES]
        best = np.maximum.reduceat(query @ self.rows.T, self.starts, axis=1).mean(axis=0)
        weight = scoring.CENTROID_WEIGHT
        scores = (1 - weight) * best + weight * (self.centroids @ scoring.centroid(query))
        order: list[int] = np.argsort(-scores, kind="stable")[: k + 1].tolist()
        return [position for position in order if position != exclude][:k]


@dataclass(frozen=True, slots=True)
class EncodedTwice:
    """Documents of an index, encoded with two encoders.

    Attributes:
        ids: The documents' ids.
        first: Their embeddings by the first encoder.
        second: Their embeddings by the second encoder.
        documents: The number of documents in the index.
    """

    ids: tuple[str, ...]
    first: EncodedDocuments
    second: EncodedDocuments
    documents: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two encoders agree.

    Attributes:
        queries: The number of documents that served as queries; each is left out of its own results.
        k: The number of hits compared for each query; lower than asked for when there are fewer other documents.
        overlap: The mean share of the first ``k`` hits that both encoders find, in [0, 1].
        same_first: The share of queries for which both find the same first hit, in [0, 1].
        cosine: The mean cosine between the two embeddings of a passage, in [-1, 1]; None if the encoders differ in
            dimension.
        lowest_cosine: The 5th percentile of these cosines, in [-1, 1]; None if the encoders differ in dimension.
    """

    queries: int
    k: int
    overlap: float
    same_first: float
    cosine: float | None
    lowest_cosine: float | None


@dataclass(frozen=True, slots=True)
class JudgedComparison:
    """Two encoders evaluated with the same judgements.

    Attributes:
        first: The results of the first encoder.
        second: The results of the second encoder.
        difference: For each metric the second minus the first, positive where the second encoder is better.
    """

    first: RunReport
    second: RunReport
    difference: Mapping[str, RunComparison]


@retried
def encode_twice(
    engine: Engine,
    encoders: tuple[Encoder, Encoder],
    *,
    include: Sequence[str] = (),
    passages: int = PASSAGES,
    seed: int = 0,
) -> EncodedTwice:
    """Encode the documents of an index with two encoders: all of them, or a sample.

    Args:
        engine: Keeps the index.
        encoders: The encoders to compare.
        include: The ids of documents that are taken into the sample first. Unknown ids are ignored.
        passages: The most passages that are encoded, at least 1.
        seed: Seed of the random choice among the other documents.

    Raises:
        UsageError: The index has fewer than two documents.
    """
    ids: list[str] = []
    first: list[Rows] = []
    second: list[Rows] = []
    with engine.snapshot() as snapshot:
        numbers, total = _chosen(snapshot, include, passages=passages, seed=seed)
        for start in range(0, len(numbers), _DOCUMENTS_TOGETHER):
            items = list(_stored(snapshot, numbers[start : start + _DOCUMENTS_TOGETHER]))
            ids += [document.id for document, _ in items]
            first += encode_passages(encoders[0], items)
            second += encode_passages(encoders[1], items)
    return EncodedTwice(tuple(ids), EncodedDocuments.of(first), EncodedDocuments.of(second), total)


def agreement(documents: EncodedTwice, *, k: int = 10, queries: int = 300, seed: int = 0) -> Agreement:
    """Compare what two encoders find when documents are used as queries.

    Args:
        documents: The documents, encoded with both.
        k: The number of hits to compare for each query, at least 1.
        queries: The most documents to use as queries, at least 1; a random choice of them.
        seed: Seed of that choice.
    """
    k = min(k, len(documents.ids) - 1)
    asked = Random(seed).sample(range(len(documents.ids)), min(queries, len(documents.ids)))
    shared, same = 0, 0
    for position in asked:
        a, b = (one.nearest(one.document(position), k, exclude=position) for one in (documents.first, documents.second))
        shared += len(set(a) & set(b))
        same += a[0] == b[0]
    cosine, lowest = _cosines(documents)
    return Agreement(len(asked), k, shared / (k * len(asked)), same / len(asked), cosine, lowest)


def compare_by_judgements(
    documents: EncodedTwice,
    qrels: Qrels,
    encoders: tuple[Encoder, Encoder],
    *,
    texts: Mapping[str, str] | None = None,
    queries: int = 1000,
    seed: int = 0,
) -> JudgedComparison:
    """Evaluate two encoders with relevance judgements, and compare the results.

    Args:
        documents: The documents, encoded with both.
        qrels: The judgements.
        encoders: The same encoders, in the same order.
        texts: The texts of the queries by id. Without them, a query's id is that of a document, which is then left out
            of its own results.
        queries: The most queries to use, at least 1; a random choice of them.
        seed: Seed of that choice.

    Raises:
        UsageError: No query is known and has a relevant document.
    """
    wanted = judgements.relevant(judgements.without_self(qrels) if texts is None else qrels)
    asked = _drawn(wanted, known=set(documents.ids if texts is None else texts), most=queries, seed=seed)
    first, second = (
        metrics.evaluate(_run(documents.ids, rows, asked, None if texts is None else _Queries(encoder, texts)), asked)
        for encoder, rows in zip(encoders, (documents.first, documents.second), strict=True)
    )
    return JudgedComparison(first, second, significance.compare(second.per_query, first.per_query))


def _drawn(qrels: Qrels, *, known: set[str], most: int, seed: int) -> dict[str, Mapping[str, int]]:
    """Return the judgements of a random choice among the queries that are known."""
    usable = [query for query in qrels if query in known]
    if not usable:
        raise UsageError(f"expected judged queries that are known, found none among {len(qrels)}")
    return {query: qrels[query] for query in Random(seed).sample(usable, min(most, len(usable)))}


@dataclass(frozen=True, slots=True)
class _Queries:
    """Queries that are given as texts, and the encoder for them."""

    encoder: Encoder
    texts: Mapping[str, str]

    def rows(self, query: str) -> Rows:
        return encode_documents(self.encoder, [Document(query, self.texts[query])], role="query")[0]


def _run(
    ids: Sequence[str], documents: EncodedDocuments, asked: Iterable[str], queries: _Queries | None
) -> dict[str, list[str]]:
    """Return the ids found for each query, best first. Without ``queries``, documents are the queries."""
    positions = {id: position for position, id in enumerate(ids)}
    run = {}
    for query in asked:
        own = positions[query] if queries is None else None
        rows = documents.document(positions[query]) if queries is None else queries.rows(query)
        run[query] = [ids[position] for position in documents.nearest(rows, DEPTH, exclude=own)]
    return run


def _cosines(documents: EncodedTwice) -> tuple[float | None, float | None]:
    """Return the mean and the 5th percentile of the cosines between the two embeddings of each passage."""
    first, second = documents.first.rows, documents.second.rows
    if first.shape != second.shape:
        return None, None
    cosines = np.einsum("nd,nd->n", first, second)
    return float(cosines.mean()), float(np.percentile(cosines, 5))


def _chosen(snapshot: Snapshot, include: Iterable[str], *, passages: int, seed: int) -> tuple[list[int], int]:
    """Return the numbers of the documents to encode, and how many documents the index has."""
    counts = snapshot.passage_counts()
    if len(counts) < 2:
        raise UsageError(f"expected at least two documents in the index, found {len(counts)}")
    wanted = [number for id in include if (number := snapshot.number(id)) is not None]
    others = list(counts)
    Random(seed).shuffle(others)
    chosen, room = [], passages
    for number in dict.fromkeys([*wanted, *others]):
        if (size := min(counts[number], _DOCUMENT_PASSAGES)) <= room:
            chosen.append(number)
            room -= size
    return chosen, len(counts)


def _stored(snapshot: Snapshot, numbers: Sequence[int]) -> Iterator[tuple[Document, list[Passage]]]:
    """Yield each document and its first ``_DOCUMENT_PASSAGES`` passages."""
    documents, passages = snapshot.documents(numbers), snapshot.passages(numbers)
    for number in numbers:
        yield documents[number].document, passages[number][:_DOCUMENT_PASSAGES]
