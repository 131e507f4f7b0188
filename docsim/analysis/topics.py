"""Topics: groups of documents that are alike, and the words that tell each group from the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Topic", "Topics", "found_topics"]

_COUNTS = (2, 3, 4, 6, 8, 10, 12, 16, 20, 24)
"""Numbers of topics that are tried; more than 24 no picture tells apart."""

_SAMPLE = 3_000
_TERMS = 3
_WORD = r"\b[^\W\d_]{3,30}\b(?!['\u2019]\w)"  # not the "don" of "don't", nor what no picture has room for


@dataclass(frozen=True, slots=True)
class Topic:
    """A group of documents.

    Attributes:
        terms: Words that tell it from the others, the most telling first; none where no document has words.
        documents: How many there are.
    """

    terms: tuple[str, ...]
    documents: int


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics, the largest first, and for each document the place of its topic, int64 ``(n,)``."""

    topics: tuple[Topic, ...]
    members: NDArray[np.int64]


def found_topics(places: NDArray[np.float32], texts: Sequence[str], *, seed: int = 0) -> Topics:
    """Group documents by k-means over their places on a map, and name the groups.

    Groups of places agree with the folders of real handbooks as well as groups of embeddings do, and they are what one
    sees (docs/map.md). Of the numbers of topics between a quarter of the square root of ``n`` (12 at most) and the
    square root, that with the best silhouette (Rousseeuw 1987, https://doi.org/10.1016/0377-0427(87)90125-7) is taken.

    Args:
        places: ``float32 (n, 2)``, at least one.
        texts: What the documents say, at least in the beginning.
        seed: The same gives the same topics.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums in one order give the same topics everywhere
        labels = _grouped(places, _best_count(places, seed), seed)
    order = np.argsort(-np.bincount(labels), kind="stable")
    members = np.argsort(order)[labels]
    sizes = np.bincount(members).tolist()
    terms = _telling(texts, members, len(sizes))
    return Topics(tuple(Topic(*each) for each in zip(terms, sizes, strict=True)), members)


def _grouped(places: NDArray[np.float32], count: int, seed: int) -> NDArray[np.int64]:
    """Return for each row a group, numbered from 0 without gaps."""
    from sklearn.cluster import KMeans

    count = min(count, len(np.unique(places, axis=0)))
    labels = KMeans(count, n_init=5, random_state=seed).fit_predict(places)
    return np.asarray(np.unique(labels, return_inverse=True)[1], np.int64)


def _best_count(places: NDArray[np.float32], seed: int) -> int:
    from sklearn.metrics import silhouette_score

    root = math.sqrt(len(places))
    counts = [count for count in _COUNTS if min(root / 4, 12) <= count <= root]
    sample = places[np.random.default_rng(seed).permutation(len(places))[:_SAMPLE]]
    scores = {}
    for count in counts:
        labels = _grouped(sample, count, seed)
        if 2 <= labels.max() + 1 < len(sample):
            scores[count] = silhouette_score(sample, labels)
    return max(scores, key=lambda count: scores[count], default=1)


def _telling(texts: Sequence[str], members: NDArray[np.int64], count: int) -> list[tuple[str, ...]]:
    """Return the terms of each group by class-based tf-idf (Grootendorst 2022, https://arxiv.org/abs/2203.05794).

    The share of a group's documents that hold a word, times the logarithm of that share over the word's share in all
    documents. Documents are counted, not occurrences: a page that says one word a hundred times names no topic.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(binary=True, stop_words="english", token_pattern=_WORD, dtype=np.int32)
    try:
        held = vectorizer.fit_transform(texts)
    except ValueError:  # no words at all
        return [()] * count
    overall = np.asarray(held.mean(axis=0)).ravel()
    words = vectorizer.get_feature_names_out()
    named = []
    for group in range(count):
        share = np.asarray(held[members == group].mean(axis=0)).ravel()
        scores = share * np.log(np.maximum(share, 1e-12) / overall) if count > 1 else share
        best = np.argsort(-scores, kind="stable")[: 10 * _TERMS]
        named.append(_apart([str(words[place]) for place in best if share[place] > 0])[:_TERMS])
    return named


def _apart(words: Sequence[str]) -> tuple[str, ...]:
    """Return words without those that are another form of an earlier one: of two, one begins like the other."""
    kept: list[str] = []
    for word in words:
        stem = word[: max(4, len(word) - 3)]
        if not any(other.startswith(stem) or word.startswith(other[: max(4, len(other) - 3)]) for other in kept):
            kept.append(word)
    return tuple(kept)
