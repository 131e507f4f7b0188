"""Hard negatives: documents that look similar but are different, mined with BM25 or with the encoder itself.

Off by default. In a knowledge base without labels, the nearest documents are often those that a reader would want to
see next, so pushing them away costs more than it teaches (measured in docs/research/training.md). A document itself
and its near-duplicates are never used as its negatives.
"""

from __future__ import annotations

from typing import cast

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from docsim.training.data.batch_layout import Floats
from docsim.training.data.corpus import NEAR_DUPLICATE, TokenizedCorpus

__all__ = ["bm25_negatives", "embedding_negatives"]

Numbers = NDArray[np.int64]

_K1, _B = 1.2, 0.75
_QUERY_TOKENS = 20  # of a document: those with the highest weight
_AT_ONCE = 500


def bm25_negatives(corpus: TokenizedCorpus, *, count: int, skip: int = 0) -> Numbers:
    """Return for each document those that BM25 ranks highest for its highest-weighted tokens.

    ``sum over tokens t of idf(t) f(t, d) (k1 + 1) / (f(t, d) + k1 (1 - b + b |d| / mean |d|))`` with k1 = 1.2 and
    b = 0.75: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, equation 3.15.

    Args:
        corpus: Documents.
        count: Negatives to find for each document.
        skip: Highest-ranked documents to leave out, because they are likely to be true matches.

    Returns:
        Numbers of documents, int64 ``(documents, count)``, best first, filled up with -1.
    """
    documents = _weights(corpus)
    queries = _weightiest(documents)
    found = [
        _best((queries[start : start + _AT_ONCE] @ documents.T).toarray(), corpus, start, count=count, skip=skip)
        for start in range(0, len(corpus.documents), _AT_ONCE)
    ]
    return np.concatenate(found)


def embedding_negatives(corpus: TokenizedCorpus, embeddings: Floats, *, count: int, skip: int = 0) -> Numbers:
    """Return for each document those with the nearest embeddings.

    Args:
        corpus: Documents.
        embeddings: Embedding of each document, float32 ``(documents, dim)``, unit rows.
        count: Negatives to find for each document.
        skip: Nearest documents to leave out.

    Returns:
        Numbers of documents, int64 ``(documents, count)``, best first, filled up with -1.
    """
    index = faiss.IndexFlatIP(embeddings.shape[1])
    index.add(embeddings)
    near = index.search(embeddings, min(len(embeddings), 2 * (count + skip) + 1))[1]
    return _allowed(near.astype(np.int64), corpus, 0, count=count, skip=skip)


def _weights(corpus: TokenizedCorpus) -> csr_matrix:
    """Return the BM25 weight of each token in each document, sparse float32 ``(documents, vocabulary)``."""
    counted = [np.unique(document.body, return_counts=True) for document in corpus.documents]
    starts = np.cumsum([0, *(len(tokens) for tokens, _ in counted)])
    tokens = np.concatenate([tokens for tokens, _ in counted])
    counts = np.concatenate([counts for _, counts in counted]).astype(np.float32)
    lengths = np.array([len(document.body) for document in corpus.documents], dtype=np.float32)
    penalty = np.repeat(_K1 * (1 - _B + _B * lengths / lengths.mean()), np.diff(starts))
    n, df = len(corpus.documents), corpus.frequencies[tokens]
    idf = np.log(1 + (n - df + 0.5).clip(0) / (df + 0.5))
    weights = (idf * counts * (_K1 + 1) / (counts + penalty)).astype(np.float32)
    return csr_matrix((weights, tokens, starts), shape=(n, len(corpus.frequencies)))


def _weightiest(documents: csr_matrix) -> csr_matrix:
    """Return a query per document: its 20 tokens of highest weight, each counting once."""
    tokens = []
    for row in range(documents.shape[0]):
        start, end = documents.indptr[row], documents.indptr[row + 1]
        order = np.argsort(-documents.data[start:end], kind="stable")[:_QUERY_TOKENS]
        tokens.append(documents.indices[start:end][order])
    starts = np.cumsum([0, *map(len, tokens)])
    ones = np.ones(starts[-1], dtype=np.float32)
    return csr_matrix((ones, np.concatenate(tokens), starts), shape=documents.shape)


def _best(scores: Floats, corpus: TokenizedCorpus, start: int, *, count: int, skip: int) -> Numbers:
    """Return the best columns of each row of ``scores`` ``(rows, documents)``; its first row is document ``start``."""
    most = min(scores.shape[1], 2 * (count + skip) + 1)
    near = np.argpartition(-scores, most - 1, axis=1)[:, :most]
    order = np.argsort(-np.take_along_axis(scores, near, axis=1), axis=1, kind="stable")
    return _allowed(np.take_along_axis(near, order, axis=1), corpus, start, count=count, skip=skip)


def _allowed(near: Numbers, corpus: TokenizedCorpus, start: int, *, count: int, skip: int) -> Numbers:
    """Leave out each document itself and its near-duplicates; the rows of ``near`` are documents from ``start`` on."""
    chosen = np.full((len(near), count), -1, dtype=np.int64)
    for row, candidates in enumerate(near):
        alike = corpus.sketches[candidates] @ corpus.sketches[start + row] > NEAR_DUPLICATE
        kept = candidates[~alike & (candidates != start + row) & (candidates >= 0)][skip : skip + count]
        chosen[row, : len(kept)] = kept
    return cast(Numbers, chosen)
