"""Topics: groups of similar documents, and the words that set each group apart from the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Topic", "Topics", "find_topics"]

_COUNTS = (2, 3, 4, 6, 8, 10, 12, 16, 20, 24)
"""The numbers of topics that are tried. More than 24 cannot be told apart in a picture."""

_SAMPLE = 3_000  # documents that decide the number of topics
_TERMS = 3  # words that name a topic
_WORD = r"\b[^\W\d_]{3,30}\b(?!['\u2019]\w)"  # not the "don" of "don't", and nothing too long for a picture


@dataclass(frozen=True, slots=True)
class Topic:
    """A group of documents.

    Attributes:
        terms: The words that set it apart from the other topics, the most telling first; empty if no document has
            words.
        documents: The number of documents.
    """

    terms: tuple[str, ...]
    documents: int


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of a collection.

    Attributes:
        topics: The topics, the largest first.
        members: For each document the position of its topic in ``topics``, int64 ``(n,)``.
    """

    topics: tuple[Topic, ...]
    members: NDArray[np.int64]


def find_topics(places: NDArray[np.float32], texts: Sequence[str], *, seed: int = 0) -> Topics:
    """Group documents by k-means over their places on a map, and name the groups.

    Places on the map are grouped, not embeddings, because they are what one sees; the groups agree with the folders of
    real handbooks equally well (see the page about maps in docs/). The number of topics is chosen between a quarter of
    the square root of ``n`` (but at most 12) and the square root, by the best silhouette (Rousseeuw 1987,
    https://doi.org/10.1016/0377-0427(87)90125-7).

    Args:
        places: The documents' places, ``float32 (n, 2)``, at least one.
        texts: The documents' texts, or their beginnings, in the same order.
        seed: The same seed gives the same topics.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # adding up in a fixed order gives the same topics on every machine
        labels = _grouped(places, _best_count(places, seed), seed)
    order = np.argsort(-np.bincount(labels), kind="stable")
    members = np.argsort(order)[labels]
    sizes = np.bincount(members).tolist()
    terms = _telling(texts, members, len(sizes))
    return Topics(tuple(Topic(*each) for each in zip(terms, sizes, strict=True)), members)


def _grouped(places: NDArray[np.float32], count: int, seed: int) -> NDArray[np.int64]:
    """Return the number of each row's group, from 0 without gaps, int64 ``(n,)``."""
    from sklearn.cluster import KMeans

    count = min(count, len(np.unique(places, axis=0)))
    labels = KMeans(count, n_init=5, random_state=seed).fit_predict(places)
    return np.asarray(np.unique(labels, return_inverse=True)[1], np.int64)


def _best_count(places: NDArray[np.float32], seed: int) -> int:
    """Return the number of topics with the best silhouette."""
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

    A word's score is the share of the group's documents that contain it, times the logarithm of that share divided by
    the share of all documents that contain it. Documents are counted instead of occurrences, so that a page which
    repeats one word a hundred times does not name a topic.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(binary=True, stop_words="english", token_pattern=_WORD, dtype=np.int32)
    try:
        held = vectorizer.fit_transform(texts)
    except ValueError:  # the texts have no words
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
    """Return words without other forms of earlier ones: words that begin in the same way."""
    kept: list[str] = []
    for word in words:
        stem = word[: max(4, len(word) - 3)]
        if not any(other.startswith(stem) or word.startswith(other[: max(4, len(other) - 3)]) for other in kept):
            kept.append(word)
    return tuple(kept)
