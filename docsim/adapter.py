"""Adapters: a linear map from a new encoder's space to an old one's, so that new queries search old vectors.

Learnt from passages that both encoders embedded. It starts as the rotation that brings the new embeddings nearest to
the old ones (orthogonal Procrustes, Schönemann 1966, https://doi.org/10.1007/BF02289451) and is then moved so that a
mapped query ranks the old vectors as the new encoder ranks its own: the Kullback-Leibler divergence of the two softmax
distributions over a batch, as in listwise distillation (Cao et al. 2007, https://doi.org/10.1145/1273496.1273513).
Some passages are held out, and the map whose nearest neighbours agree best with the new encoder's is kept.

    adapter.npz   arrays format, source, target, matrix, agreement, before; no pickle
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docsim.durable import replacing
from docsim.errors import StoreError

__all__ = ["FORMAT", "Adapter", "K", "agreement", "learnt", "procrustes", "refined"]

FORMAT = 1
"""Version of the file; one of another version is refused."""

K = 10
"""Nearest neighbours that are compared, where there are as many."""

STEPS = 200
TEMPERATURE = 0.05
"""Of the softmax over similarities: what is nearest counts, what is far hardly does."""

_BATCH = 512
_RATE = 1e-3
_EVERY = 25  # steps between two looks at what was held out
_HELD_OUT = 0.1
_LEAST_REFINED = 50  # passages; with fewer the rotation stays as it is

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Adapter:
    """A map from one encoder's embeddings to another's.

    Attributes:
        source: Fingerprint of the encoder whose embeddings are mapped.
        target: Fingerprint of the encoder in whose space they are afterwards.
        matrix: ``float32 (source dim, target dim)``, finite.
        agreement: Share of the source encoder's ``K`` nearest neighbours that mapped held-out passages find among the
            target's vectors, in [0, 1].
        before: The same share for the target encoder's own embeddings: what is found without an adapter.
    """

    source: str
    target: str
    matrix: Floats
    agreement: float
    before: float

    def apply(self, embeddings: Floats) -> Floats:
        """Return the embeddings mapped: ``float32 (n, target dim)``, unit rows.

        Args:
            embeddings: ``float32 (n, source dim)``, unit rows.
        """
        return _unit(embeddings @ self.matrix)

    def save(self, path: Path) -> str:
        """Write the adapter to a file, atomically; return its SHA-256.

        Raises:
            OSError: It cannot be written, and nothing of it is left.
        """
        content = io.BytesIO()
        np.savez(
            content,
            format=np.int64(FORMAT),
            source=np.str_(self.source),
            target=np.str_(self.target),
            matrix=self.matrix,
            agreement=np.float64(self.agreement),
            before=np.float64(self.before),
        )
        with replacing(path) as file:
            file.write(content.getvalue())
        return hashlib.sha256(content.getvalue()).hexdigest()

    @classmethod
    def load(cls, path: Path, *, digest: str | None = None) -> Adapter:
        """Read what ``save`` wrote.

        Args:
            path: The file.
            digest: Its SHA-256, when it is known.

        Raises:
            StoreError: The file is missing, is not what was written, is of another format or holds no such map.
        """
        try:
            content = path.read_bytes()
            if digest is not None and hashlib.sha256(content).hexdigest() != digest:
                raise ValueError("other content than was written")
            with np.load(io.BytesIO(content), allow_pickle=False) as found:
                adapter = cls(
                    source=str(found["source"]),
                    target=str(found["target"]),
                    matrix=_checked(found["matrix"], version=int(found["format"])),
                    agreement=float(found["agreement"]),
                    before=float(found["before"]),
                )
        except Exception as error:  # a damaged archive raises whatever its parts' readers raise
            raise StoreError(
                f"expected an adapter of format {FORMAT} at {path}, could not read one ({error}); learn it anew with: "
                "docsim reindex --adapter"
            ) from error
        return adapter


def learnt(new: Floats, old: Floats, *, source: str, target: str, seed: int = 0) -> Adapter:
    """Learn an adapter from passages that two encoders embedded.

    Args:
        new: ``float32 (passages, source dim)``, unit rows: what is to be mapped.
        old: ``float32 (passages, target dim)``, unit rows, of the same passages; at least two.
        source: Fingerprint of the encoder of ``new``.
        target: Fingerprint of the encoder of ``old``.
        seed: Of what is held out, and of the batches.

    Raises:
        ValueError: The rows do not pair up, are fewer than two or not all finite.
    """
    if len(new) != len(old) or len(new) < 2:
        raise ValueError(f"expected the same passages twice, two at least; got {len(new)} and {len(old)}")
    if not (np.isfinite(new).all() and np.isfinite(old).all()):
        raise ValueError("expected finite embeddings, got others")
    order = np.random.default_rng(seed).permutation(len(new))
    held, rest = np.split(order, [max(1, round(_HELD_OUT * len(new)))])
    matrix = procrustes(new[rest], old[rest])
    best = agreement(_unit(new @ matrix), old, new, held)
    for candidate in refined(new[rest], old[rest], matrix, seed=seed) if len(rest) >= _LEAST_REFINED else ():
        found = agreement(_unit(new @ candidate), old, new, held)
        if found > best:
            matrix, best = candidate, found
    return Adapter(source, target, matrix, best, agreement(old, old, new, held))


def procrustes(new: Floats, old: Floats) -> Floats:
    """Return the orthogonal map ``(source dim, target dim)`` that brings ``new`` nearest to ``old``.

    Of what the passages say nothing about, components stay as they are.
    """
    cross = new.T.astype(np.float64) @ old
    left, _, right = np.linalg.svd(cross + 1e-6 * np.eye(*cross.shape), full_matrices=False)
    return np.ascontiguousarray(left @ right, dtype=np.float32)


def refined(new: Floats, old: Floats, start: Floats, *, steps: int = STEPS, seed: int = 0) -> Iterator[Floats]:
    """Yield ever better maps ``(source dim, target dim)`` on the way from ``start``, by Adam.

    Args:
        new: ``(passages, source dim)``, unit rows.
        old: ``(passages, target dim)``, unit rows.
        start: The map to begin with.
        steps: To take.
        seed: Of the batches.
    """
    matrix = start.copy()
    mean, square = np.zeros_like(matrix), np.zeros_like(matrix)
    random = np.random.default_rng(seed)
    for step in range(1, steps + 1):
        batch = random.permutation(len(new))[:_BATCH]
        slope = _slope(new[batch], old[batch], matrix)
        mean += 0.1 * (slope - mean)
        square += 0.01 * (slope * slope - square)
        matrix = matrix - _RATE * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-9)
        if step % _EVERY == 0:
            yield matrix


def _slope(new: Floats, old: Floats, matrix: Floats) -> Floats:
    """Return the gradient of the divergence by ``matrix``; a passage is no neighbour of its own."""
    moved = new @ matrix
    norms = np.linalg.norm(moved, axis=1, keepdims=True)
    mapped: Floats = moved / norms
    wrong = (_softmax(mapped @ old.T) - _softmax(new @ new.T)) @ old / (TEMPERATURE * len(new))
    tangent = (wrong - np.einsum("ij,ij->i", wrong, mapped)[:, None] * mapped) / norms
    slope: Floats = new.T @ tangent
    return slope


def _softmax(similarities: Floats) -> Floats:
    """Return each row's distribution over the other passages."""
    scaled = similarities / TEMPERATURE
    np.fill_diagonal(scaled, -np.inf)
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)


def agreement(queries: Floats, vectors: Floats, truth: Floats, which: NDArray[np.int64]) -> float:
    """Return the share of true nearest neighbours that are found, in [0, 1].

    Args:
        queries: ``(passages, dim)``, unit rows: what is asked.
        vectors: ``(passages, dim)``, unit rows: what is searched.
        truth: ``(passages, any dim)``, unit rows, whose neighbours among themselves are the true ones.
        which: The passages that are asked for, ``int64 (any,)``.
    """
    k = min(K, len(vectors) - 1)
    found, wanted = _nearest(queries[which], vectors, which, k), _nearest(truth[which], truth, which, k)
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(found, wanted, strict=True)]))


def _nearest(queries: Floats, vectors: Floats, which: NDArray[np.int64], k: int) -> list[list[int]]:
    similarities = queries @ vectors.T
    similarities[np.arange(len(which)), which] = -np.inf
    nearest: list[list[int]] = np.argpartition(-similarities, k - 1, axis=1)[:, :k].tolist()
    return nearest


def _unit(rows: Floats) -> Floats:
    """Return rows of norm 1; a row of zeros, which has no direction, gets a fixed one."""
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    if not norms.all():
        rows, norms = np.where(norms > 0, rows, 1), np.where(norms > 0, norms, np.sqrt(rows.shape[1]))
    return np.asarray(rows / norms, dtype=np.float32)


def _checked(matrix: NDArray[np.float32], *, version: int) -> Floats:
    if version != FORMAT:
        raise ValueError(f"format {version}")
    if matrix.ndim != 2 or matrix.dtype != np.float32 or not matrix.size or not np.isfinite(matrix).all():
        raise ValueError(f"{matrix.dtype} numbers of shape {matrix.shape}, not all finite perhaps")
    return matrix
