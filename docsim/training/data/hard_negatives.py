"""Hard negatives: documents that look alike and are others, mined by BM25 and by the encoder as it is.

Off by default. In a knowledge base without labels the nearest documents are often the ones a reader would want to see
next, and to push them away costs more than it teaches; the measurement is in docs/training.md. Never mined are a
document itself and its near-duplicates.
"""

from __future__ import annotations

from typing import cast

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

from docsim.training.data.material import Material
from docsim.training.data.spans import NEAR_DUPLICATE

__all__ = ["by_bm25", "by_embedding"]

Numbers = NDArray[np.int64]

_K1, _B = 1.2, 0.75
_QUERY_TOKENS = 20  # of a document: those that weigh most
_AT_ONCE = 500


def by_bm25(material: Material, *, count: int, skip: int = 0) -> Numbers:
    """Return for each text the numbers of those that BM25 ranks highest for its weightiest tokens.

    ``sum over tokens t of idf(t) f(t, d) (k1 + 1) / (f(t, d) + k1 (1 - b + b |d| / mean |d|))`` with k1 = 1.2 and
    b = 0.75: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, equation 3.15.

    Args:
        material: Documents.
        count: Negatives to find for each text.
        skip: Ranks to leave out first: the very nearest are likely to belong together.

    Returns:
        int64 ``(texts, count)``, best first, -1 where there are fewer.
    """
    documents = _weights(material)
    queries = _weightiest(documents)
    found = [
        _best((queries[start : start + _AT_ONCE] @ documents.T).toarray(), material, start, count=count, skip=skip)
        for start in range(0, len(material.texts), _AT_ONCE)
    ]
    return np.concatenate(found)


def by_embedding(material: Material, embeddings: NDArray[np.float32], *, count: int, skip: int = 0) -> Numbers:
    """Return for each text the numbers of those whose embeddings are nearest.

    Args:
        material: Documents.
        embeddings: One of each text, float32 ``(texts, dim)``, unit rows.
        count: Negatives to find for each text.
        skip: Ranks to leave out first.

    Returns:
        int64 ``(texts, count)``, best first, -1 where there are fewer.
    """
    index = faiss.IndexFlatIP(embeddings.shape[1])
    index.add(embeddings)
    near = index.search(embeddings, min(len(embeddings), 2 * (count + skip) + 1))[1]
    return _allowed(near.astype(np.int64), material, 0, count=count, skip=skip)


def _weights(material: Material) -> csr_matrix:
    """Return the BM25 weight of each token in each text, sparse float32 ``(texts, vocabulary)``."""
    counted = [np.unique(text.body, return_counts=True) for text in material.texts]
    starts = np.cumsum([0, *(len(tokens) for tokens, _ in counted)])
    tokens = np.concatenate([tokens for tokens, _ in counted])
    counts = np.concatenate([counts for _, counts in counted]).astype(np.float32)
    lengths = np.array([len(text.body) for text in material.texts], dtype=np.float32)
    penalty = np.repeat(_K1 * (1 - _B + _B * lengths / lengths.mean()), np.diff(starts))
    n, df = len(material.texts), material.frequencies[tokens]
    idf = np.log(1 + (n - df + 0.5).clip(0) / (df + 0.5))
    weights = (idf * counts * (_K1 + 1) / (counts + penalty)).astype(np.float32)
    return csr_matrix((weights, tokens, starts), shape=(n, len(material.frequencies)))


def _weightiest(documents: csr_matrix) -> csr_matrix:
    """Return queries made of the 20 weightiest tokens of each text, each counting once."""
    tokens = []
    for row in range(documents.shape[0]):
        start, end = documents.indptr[row], documents.indptr[row + 1]
        order = np.argsort(-documents.data[start:end], kind="stable")[:_QUERY_TOKENS]
        tokens.append(documents.indices[start:end][order])
    starts = np.cumsum([0, *map(len, tokens)])
    ones = np.ones(starts[-1], dtype=np.float32)
    return csr_matrix((ones, np.concatenate(tokens), starts), shape=documents.shape)


def _best(scores: NDArray[np.float32], material: Material, start: int, *, count: int, skip: int) -> Numbers:
    """Return the best columns of each row of ``scores`` ``(rows, texts)``, whose first row is text ``start``."""
    most = min(scores.shape[1], 2 * (count + skip) + 1)
    near = np.argpartition(-scores, most - 1, axis=1)[:, :most]
    order = np.argsort(-np.take_along_axis(scores, near, axis=1), axis=1, kind="stable")
    return _allowed(np.take_along_axis(near, order, axis=1), material, start, count=count, skip=skip)


def _allowed(near: Numbers, material: Material, start: int, *, count: int, skip: int) -> Numbers:
    """Leave out each text itself and its near-duplicates; the rows of ``near`` are texts ``start`` onwards."""
    chosen = np.full((len(near), count), -1, dtype=np.int64)
    for row, candidates in enumerate(near):
        alike = material.sketches[candidates] @ material.sketches[start + row] > NEAR_DUPLICATE
        kept = candidates[~alike & (candidates != start + row) & (candidates >= 0)][skip : skip + count]
        chosen[row, : len(kept)] = kept
    return cast(Numbers, chosen)
