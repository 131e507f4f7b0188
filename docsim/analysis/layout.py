"""Layout: embeddings as points in two dimensions, with similar ones close together.

t-SNE (van der Maaten and Hinton 2008, https://www.jmlr.org/papers/v9/vandermaaten08a.html) keeps neighbours together,
which the first two principal components of embeddings hardly do. To bound its time, it lays out a sample when there are
many rows; each other row is then placed near the rows of the sample that are most similar to it. (umap-learn does the
same job, but importing it loads TensorFlow wherever that is installed, and takes seconds to compile.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SAMPLE", "lay_out", "plane"]

SAMPLE = 3_000
"""The most rows that t-SNE lays out."""

_FEWEST = 10  # with fewer rows, t-SNE makes no sense
_COMPONENTS = 30
_PERPLEXITY = 30
_ITERATIONS = 500
_PLACED_BY = 5  # rows of the sample that decide where another row is placed
_SHARPNESS = 20.0  # the higher, the more the most similar of them counts
_SCATTER = 0.006  # standard deviation of the noise in places, as a share of the picture's width
_TOGETHER = 10_000  # rows that are placed at a time, which bounds memory
_ALIKE = 1e-6  # rows that differ by less than this in every component count as equal


def lay_out(rows: NDArray[np.float32], *, sample: int = SAMPLE, seed: int = 0) -> NDArray[np.float32]:
    """Return a position in the unit square for each embedding. The same rows and seed give the same places.

    Args:
        rows: The embeddings, ``float32 (n, dim)``, unit rows.
        sample: The most rows that t-SNE lays out.
        seed: Seed of the choice of the sample and of t-SNE.

    Returns:
        ``float32 (n, 2)``, in [0, 1].
    """
    if len(rows) < _FEWEST:
        return _within_unit_square(plane(rows))
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:sample])
    places = np.zeros((len(rows), 2), np.float32)
    places[chosen] = _within_unit_square(_by_tsne(rows[chosen], seed))
    others = np.setdiff1d(np.arange(len(rows)), chosen)
    if len(others):
        places[others] = _placed(rows[others], rows[chosen], places[chosen], seed=seed)
    return np.clip(places, 0, 1)


def plane(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the first two principal components of rows ``(n, dim)``: ``(n, 2)``, 0 where there are fewer."""
    if not len(rows):
        return np.zeros((0, 2), np.float32)
    centred = rows - rows.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:2]
    places = np.zeros((len(rows), 2), np.float32)
    places[:, : len(directions)] = centred @ directions.T
    return places


def _by_tsne(rows: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Return the places that t-SNE gives to rows ``(n, dim)``, ``(n, 2)``, on any scale."""
    if float(np.ptp(rows, axis=0).max()) < _ALIKE:
        return np.zeros((len(rows), 2), np.float32)
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    tsne = TSNE(init="pca", perplexity=min(_PERPLEXITY, (len(rows) - 1) / 3), max_iter=_ITERATIONS, random_state=seed)
    with threadpool_limits(1):  # several threads are slower here, and add up in varying order
        reduced = PCA(min(_COMPONENTS, *rows.shape), random_state=seed).fit_transform(rows)
        return np.asarray(tsne.fit_transform(reduced), np.float32)


def _within_unit_square(places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return places ``(n, 2)`` moved and scaled to fit the unit square, keeping their proportions."""
    if not len(places):
        return places
    low, high = places.min(axis=0), places.max(axis=0)
    width = float((high - low).max()) or 1.0
    return np.asarray((places - (low + high) / 2) / width + 0.5, np.float32)


def _placed(
    rows: NDArray[np.float32], sample: NDArray[np.float32], places: NDArray[np.float32], *, seed: int
) -> NDArray[np.float32]:
    """Return a place for each row near the places of the most similar rows of the sample, plus a little noise."""
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
