"""Layout: embeddings in two dimensions, so that what is alike lies together.

t-SNE (van der Maaten and Hinton 2008, https://www.jmlr.org/papers/v9/vandermaaten08a.html) keeps neighbours together,
which principal components of embeddings hardly do. It runs over a sample when there are many rows, so its time is
bounded; the others are put where those of the sample lie that are most like them. (umap-learn does the same job, but
importing it loads TensorFlow wherever that is installed, and compiles for seconds.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SAMPLE", "laid_out", "plane"]

SAMPLE = 3_000
"""Rows that t-SNE lays out, at most."""

_FEWEST = 10  # rows, for t-SNE to make sense
_COMPONENTS = 30
_PERPLEXITY = 30
_ITERATIONS = 500
_PLACED_BY = 5  # of the sample
_SHARPNESS = 20.0  # how much more the most similar of these counts
_SCATTER = 0.006  # of the picture's width
_TOGETHER = 10_000
_ALIKE = 1e-6  # rows that differ by less in every component are one


def laid_out(rows: NDArray[np.float32], *, sample: int = SAMPLE, seed: int = 0) -> NDArray[np.float32]:
    """Return a place for each row, float32 ``(n, 2)`` in [0, 1]; the same for the same rows and seed.

    Args:
        rows: ``float32 (n, dim)``, unit rows.
        sample: Rows that t-SNE lays out, at most.
        seed: Of the sample, and of t-SNE.
    """
    if len(rows) < _FEWEST:
        return _within_unit_square(plane(rows))
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:sample])
    places = np.zeros((len(rows), 2), np.float32)
    places[chosen] = _within_unit_square(_embedded(rows[chosen], seed))
    others = np.setdiff1d(np.arange(len(rows)), chosen)
    if len(others):
        places[others] = _placed(rows[others], rows[chosen], places[chosen], seed=seed)
    return np.clip(places, 0, 1)


def plane(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows ``(n, dim)`` on their first two principal components, ``(n, 2)``; 0 where there are fewer."""
    if not len(rows):
        return np.zeros((0, 2), np.float32)
    centred = rows - rows.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:2]
    places = np.zeros((len(rows), 2), np.float32)
    places[:, : len(directions)] = centred @ directions.T
    return places


def _embedded(rows: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    if float(np.ptp(rows, axis=0).max()) < _ALIKE:
        return np.zeros((len(rows), 2), np.float32)
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    tsne = TSNE(init="pca", perplexity=min(_PERPLEXITY, (len(rows) - 1) / 3), max_iter=_ITERATIONS, random_state=seed)
    with threadpool_limits(1):  # threads wait for each other longer than they work, and add up in any order
        reduced = PCA(min(_COMPONENTS, *rows.shape), random_state=seed).fit_transform(rows)
        return np.asarray(tsne.fit_transform(reduced), np.float32)


def _within_unit_square(places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return places moved and scaled, the same in both directions, to the middle of the unit square."""
    if not len(places):
        return places
    low, high = places.min(axis=0), places.max(axis=0)
    width = float((high - low).max()) or 1.0
    return np.asarray((places - (low + high) / 2) / width + 0.5, np.float32)


def _placed(
    rows: NDArray[np.float32], sample: NDArray[np.float32], places: NDArray[np.float32], *, seed: int
) -> NDArray[np.float32]:
    """Return places near those of the sample's rows that each row is most like, a little apart."""
    found = np.zeros((len(rows), 2), np.float32)
    for start in range(0, len(rows), _TOGETHER):
        similarities = rows[start : start + _TOGETHER] @ sample.T
        best = np.argpartition(-similarities, _PLACED_BY, axis=1)[:, :_PLACED_BY]
        near = np.take_along_axis(similarities, best, axis=1)
        weights = np.exp(_SHARPNESS * (near - near.max(axis=1, keepdims=True)))
        weights /= weights.sum(axis=1, keepdims=True)
        found[start : start + _TOGETHER] = (weights[:, :, None] * places[best]).sum(axis=1)
    scatter = np.random.default_rng(seed).normal(scale=_SCATTER, size=found.shape)
    return np.asarray(found + scatter, np.float32)
