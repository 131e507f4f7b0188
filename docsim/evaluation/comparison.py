"""Comparison: how far two encoders agree over the documents of an index, and which one ranks better.

The stored texts are encoded anew with both, passage by passage, and ranked exactly, as in ``search.scoring``.
Where the index holds more than ``PASSAGES`` passages a random part of its documents stands for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.documents import encode_documents, encode_passages
from docsim.encoding.encoder import Encoder
from docsim.engine.base import Snapshot
from docsim.errors import UsageError
from docsim.evaluation import judgements, measures
from docsim.evaluation.judgements import Qrels
from docsim.evaluation.measures import Comparison, Report
from docsim.index import Index
from docsim.models import Document, Passage
from docsim.search import scoring

__all__ = ["PASSAGES", "Agreement", "Encoded", "Judged", "Sample", "agreement", "judged", "sampled"]

PASSAGES = 20_000
"""Passages, at most, that are encoded: some 60 MB for each encoder of 768 components."""

DEPTH = 100
"""Places of a ranking that are judged."""

_DOCUMENT_PASSAGES = 200  # of one document, at most
_QUERY_PASSAGES = 32  # of a query that are searched with
_DOCUMENTS_TOGETHER = 200

Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Documents as one encoder sees them, ready to be ranked: as ``ranking.rank`` does, only many times faster.

    Attributes:
        rows: Embeddings of all passages, document after document, ``float32 (passages, dim)``, unit rows.
        starts: Where each document's passages start, ``int64 (documents,)``, ascending.
        centroids: What the passages of each document share, ``float32 (documents, dim)``, unit rows.
    """

    rows: Rows
    starts: NDArray[np.int64]
    centroids: Rows

    @classmethod
    def of(cls, documents: Sequence[Rows]) -> Encoded:
        """Put the embeddings of documents' passages together, ``float32 (passages, dim)`` each."""
        counts = np.array([len(one) for one in documents], dtype=np.int64)
        rows = np.concatenate(documents)
        starts = np.cumsum(counts) - counts
        sums = np.add.reduceat(rows, starts, axis=0)
        norms = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return cls(rows, starts, sums / norms)

    def document(self, place: int) -> Rows:
        """Return the embeddings of one document's passages."""
        return self.rows[slice(*np.append(self.starts, len(self.rows))[place : place + 2])]

    def nearest(self, query: Rows, k: int, *, exclude: int | None = None) -> list[int]:
        """Return the places of the ``k`` documents most like a query, best first; among equals the earlier ones.

        Args:
            query: Embeddings of its passages, ``float32 (passages, dim)``, unit rows; the first 32 count.
            k: At least 1.
            exclude: Place of the document not to return.
        """
        query = query[:_QUERY_PASSAGES]
        best = np.maximum.reduceat(query @ self.rows.T, self.starts, axis=1).mean(axis=0)
        weight = scoring.CENTROID_WEIGHT
        scores = (1 - weight) * best + weight * (self.centroids @ scoring.centroid(query))
        order: list[int] = np.argsort(-scores, kind="stable")[: k + 1].tolist()
        return [place for place in order if place != exclude][:k]


@dataclass(frozen=True, slots=True)
class Sample:
    """Documents of an index, encoded twice.

    Attributes:
        ids: Their ids.
        first: As the first encoder sees them.
        second: As the second one does.
        documents: Documents that the index holds.
    """

    ids: tuple[str, ...]
    first: Encoded
    second: Encoded
    documents: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two encoders agree.

    Attributes:
        queries: Documents that were asked for, each left out of its own result.
        k: Places that were compared; fewer than asked for where there are fewer other documents.
        overlap: Mean share of the first ``k`` hits that both have, in [0, 1].
        same_first: Share of the queries with the same first hit, in [0, 1].
        cosine: Mean cosine of a passage's two embeddings, in [-1, 1]; None where they differ in dimension.
        lowest_cosine: The cosine that 5 % of the passages stay below; None likewise.
    """

    queries: int
    k: int
    overlap: float
    same_first: float
    cosine: float | None
    lowest_cosine: float | None


@dataclass(frozen=True, slots=True)
class Judged:
    """Both encoders by the same judgements; ``difference`` is the second minus the first."""

    first: Report
    second: Report
    difference: Mapping[str, Comparison]


def sampled(index: Index, encoders: tuple[Encoder, Encoder], *, include: Iterable[str] = (), seed: int = 0) -> Sample:
    """Encode documents of an index with both encoders: all of them, or as many as have ``PASSAGES`` passages.

    Args:
        index: Where the texts are.
        encoders: The two to compare.
        include: Ids of documents that come first, as far as there is room.
        seed: Of the choice among the others.

    Raises:
        UsageError: The index holds fewer than two documents.
    """
    ids: list[str] = []
    first: list[Rows] = []
    second: list[Rows] = []
    with index.engine.snapshot() as snapshot:
        numbers, total = _chosen(snapshot, include, seed)
        for start in range(0, len(numbers), _DOCUMENTS_TOGETHER):
            items = list(_stored(snapshot, numbers[start : start + _DOCUMENTS_TOGETHER]))
            ids += [document.id for document, _ in items]
            first += encode_passages(encoders[0], items)
            second += encode_passages(encoders[1], items)
    return Sample(tuple(ids), Encoded.of(first), Encoded.of(second), total)


def agreement(sample: Sample, *, k: int = 10, queries: int = 300, seed: int = 0) -> Agreement:
    """Compare what the encoders find for some of the sample's own documents.

    Args:
        sample: What ``sampled`` returns.
        k: Hits to compare, at least 1.
        queries: Documents to ask for, at most.
        seed: Of their choice.
    """
    k = min(k, len(sample.ids) - 1)
    asked = Random(seed).sample(range(len(sample.ids)), min(queries, len(sample.ids)))
    shared, same = 0, 0
    for place in asked:
        a, b = (one.nearest(one.document(place), k, exclude=place) for one in (sample.first, sample.second))
        shared += len(set(a) & set(b))
        same += a[0] == b[0]
    cosine, lowest = _cosines(sample)
    return Agreement(len(asked), k, shared / (k * len(asked)), same / len(asked), cosine, lowest)


def judged(
    sample: Sample,
    qrels: Qrels,
    encoders: tuple[Encoder, Encoder],
    *,
    texts: Mapping[str, str] | None = None,
    queries: int = 1000,
    seed: int = 0,
) -> Judged:
    """Evaluate both encoders over the sample, and the difference between them.

    Args:
        sample: What ``sampled`` returns.
        qrels: The judgements.
        encoders: Those that the sample was encoded with, in the same order.
        texts: The queries by id; without them a query is a document of the sample, left out of its own result.
        queries: Queries to ask, at most.
        seed: Of their choice.

    Raises:
        UsageError: No query can be asked and has a relevant document in the sample.
    """
    wanted = judgements.relevant(judgements.without_self(qrels) if texts is None else qrels)
    known = set(sample.ids) if texts is None else texts.keys()
    can = [query for query in wanted if query in known]
    if not can:
        raise UsageError(f"expected judged queries that can be asked, found none among {len(wanted)}")
    asked = {query: wanted[query] for query in Random(seed).sample(can, min(queries, len(can)))}
    first, second = (
        measures.evaluate(_run(sample.ids, documents, asked, None if texts is None else _Texts(encoder, texts)), asked)
        for encoder, documents in zip(encoders, (sample.first, sample.second), strict=True)
    )
    return Judged(first, second, measures.compare(second.per_query, first.per_query))


@dataclass(frozen=True, slots=True)
class _Texts:
    """Queries that are texts, and what encodes them."""

    encoder: Encoder
    by_id: Mapping[str, str]

    def vectors(self, query: str) -> Rows:
        return encode_documents(self.encoder, [Document(query, self.by_id[query])])[0]


def _run(ids: Sequence[str], documents: Encoded, queries: Iterable[str], texts: _Texts | None) -> dict[str, list[str]]:
    """Return the ids found for each query, best first; without texts a query is one of the documents."""
    places = {id: place for place, id in enumerate(ids)}
    run = {}
    for query in queries:
        own = places[query] if texts is None else None
        vectors = documents.document(places[query]) if texts is None else texts.vectors(query)
        run[query] = [ids[place] for place in documents.nearest(vectors, DEPTH, exclude=own)]
    return run


def _cosines(sample: Sample) -> tuple[float | None, float | None]:
    """Return the mean cosine of matched embeddings and the one that 5 % stay below."""
    first, second = sample.first.rows, sample.second.rows
    if first.shape != second.shape:
        return None, None
    cosines = np.einsum("nd,nd->n", first, second)
    return float(cosines.mean()), float(np.percentile(cosines, 5))


def _chosen(snapshot: Snapshot, include: Iterable[str], seed: int) -> tuple[list[int], int]:
    """Return the numbers of the documents to encode, and how many documents there are."""
    counts = snapshot.passage_counts()
    if len(counts) < 2:
        raise UsageError(f"expected at least two documents in the index, found {len(counts)}")
    wanted = [number for id in include if (number := snapshot.number(id)) is not None]
    others = list(counts)
    Random(seed).shuffle(others)
    chosen, room = [], PASSAGES
    for number in dict.fromkeys([*wanted, *others]):
        if (size := min(counts[number], _DOCUMENT_PASSAGES)) <= room:
            chosen.append(number)
            room -= size
    return chosen, len(counts)


def _stored(snapshot: Snapshot, numbers: Sequence[int]) -> Iterator[tuple[Document, list[Passage]]]:
    """Yield each document and its first ``_DOCUMENT_PASSAGES`` passages, as they are stored."""
    documents, passages = snapshot.documents(numbers), snapshot.passages(numbers)
    for number in numbers:
        yield documents[number].document, passages[number][:_DOCUMENT_PASSAGES]
