"""Alignment: maps embeddings of an old encoder into the space of a new one, so that new queries can search them.

It is learned from passages that both encoders have embedded, in two steps. The first is the rotation that brings the
old embeddings nearest to the new ones (orthogonal Procrustes, Schönemann 1966, https://doi.org/10.1007/BF02289451).
The second is a correction, which kernel ridge regression learns from what remains after the rotation (Saunders,
Gammerman and Vovk, ICML 1998). The kernel of two embeddings is exp((a . b - 1) / WIDTH), which for unit vectors is the
Gaussian kernel.

    adapter.npz   arrays format, source, target, rotation, landmarks, weights, agreement, before; no pickle
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docsim.errors import StoreError
from docsim.files import replacing

__all__ = ["FORMAT", "LEAST", "Alignment", "K", "agreement", "fitted", "learned", "procrustes"]

FORMAT = 2
"""Version of the file; files of other versions are refused."""

K = 10
"""The number of nearest neighbours that are compared, at most a quarter of all passages."""

LEAST = 25
"""The least number of passages to learn from: with fewer, too few are held out to measure anything."""

WIDTH = 0.5
"""The width of the kernel, in inner products."""

RIDGE = 0.1
"""The strength of the regression's penalty."""

_HELD_OUT = 0.2  # the share of passages that measure how good an alignment is
_TOGETHER = 4096  # embeddings mapped at a time

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """A mapping from the embedding space of one encoder to that of another.

    Attributes:
        source: Fingerprint of the encoder whose embeddings are mapped.
        target: Fingerprint of the encoder into whose space they are mapped.
        rotation: ``float32 (source dim, target dim)``, finite.
        landmarks: Source embeddings that others are compared with, ``float32 (landmarks, source dim)``, finite.
        weights: The correction that each landmark contributes, ``float32 (landmarks, target dim)``, finite.
        agreement: How many of the ``K`` nearest neighbours by the target encoder a held-out passage also finds among
            the mapped embeddings, on average; a share in [0, 1].
        before: The same share when the source encoder searches its own embeddings: the baseline without an alignment.
    """

    source: str
    target: str
    rotation: Floats
    landmarks: Floats
    weights: Floats
    agreement: float = 0.0
    before: float = 0.0

    @property
    def dims(self) -> tuple[int, int]:
        """The dimensions of the source and the target embeddings."""
        return self.rotation.shape[0], self.rotation.shape[1]

    def apply(self, embeddings: NDArray[np.floating]) -> Floats:
        """Map embeddings into the target space; return ``float32 (n, target dim)``, unit rows.

        Args:
            embeddings: ``(n, source dim)``, unit rows.
        """
        mapped = np.empty((len(embeddings), self.dims[1]), np.float32)
        for start in range(0, len(embeddings), _TOGETHER):
            here = slice(start, start + _TOGETHER)
            rows = embeddings[here].astype(np.float32)
            mapped[here] = _unit(rows @ self.rotation + _kernel(rows, self.landmarks) @ self.weights)
        return mapped

    def save(self, path: Path) -> str:
        """Write the alignment to a file, atomically; return its SHA-256.

        Raises:
            OSError: It cannot be written; no partial file is left.
        """
        content = io.BytesIO()
        np.savez(
            content,
            format=np.int64(FORMAT),
            source=np.str_(self.source),
            target=np.str_(self.target),
            rotation=self.rotation,
            landmarks=self.landmarks,
            weights=self.weights,
            agreement=np.float64(self.agreement),
            before=np.float64(self.before),
        )
        with replacing(path) as file:
            file.write(content.getvalue())
        return hashlib.sha256(content.getvalue()).hexdigest()

    @classmethod
    def load(cls, path: Path, *, digest: str | None = None) -> Alignment:
        """Read a file written by ``save``.

        Args:
            path: The file.
            digest: Its SHA-256, if known.

        Raises:
            StoreError: The file is missing, damaged, of another format or holds no valid alignment.
        """
        try:
            content = path.read_bytes()
            if digest is not None and hashlib.sha256(content).hexdigest() != digest:
                raise ValueError("its checksum does not match")
            with np.load(io.BytesIO(content), allow_pickle=False) as found:
                return _checked(dict(found))
        except Exception as error:  # NumPy and zipfile raise many kinds of errors for a damaged archive
            raise StoreError(
                f"expected an alignment of format {FORMAT} at {path}, could not read one ({error})",
                hint="docsim reindex --instant",
            ) from error


def learned(old: Floats, new: Floats, *, source: str, target: str, seed: int = 0) -> Alignment:
    """Learn an alignment from passages that two encoders have embedded.

    An alignment learned from four fifths of the passages is measured on the rest. The one that is returned is learned
    from all of them, and bears that measurement.

    Args:
        old: ``float32 (passages, source dim)``, unit rows: embeddings by the source encoder.
        new: ``float32 (passages, target dim)``, unit rows: embeddings of the same passages by the target encoder; at
            least two.
        source: Fingerprint of the encoder of ``old``.
        target: Fingerprint of the encoder of ``new``.
        seed: Decides which passages are held out.

    Raises:
        ValueError: The numbers of rows differ or are below two, or some values are not finite.
    """
    if len(new) != len(old) or len(new) < 2:
        raise ValueError(f"expected embeddings of the same two or more passages; got {len(old)} and {len(new)} rows")
    if not (np.isfinite(new).all() and np.isfinite(old).all()):
        raise ValueError("expected finite embeddings, got NaN or infinity")
    order = np.random.default_rng(seed).permutation(len(new))
    held, rest = np.split(order, [max(1, round(_HELD_OUT * len(new)))])
    tried = Alignment(source, target, *fitted(old[rest], new[rest])).apply(old[held])
    found = agreement(new[held], tried, new[held]), agreement(old[held], old[held], new[held])
    return Alignment(source, target, *fitted(old, new), *found)


def fitted(old: Floats, new: Floats) -> tuple[Floats, Floats, Floats]:
    """Return rotation, landmarks and weights that map ``old`` to ``new``; see ``Alignment``."""
    rotation = procrustes(old, new)
    square = _kernel(old, old).astype(np.float64) + RIDGE * np.eye(len(old))
    weights = np.linalg.solve(square, (new - old @ rotation).astype(np.float64))
    return rotation, old, weights.astype(np.float32)


def procrustes(old: Floats, new: Floats) -> Floats:
    """Return the orthogonal matrix, ``float32 (source dim, target dim)``, that brings ``old`` nearest to ``new``.

    Directions in which no passage has a component are kept as they are. Schönemann 1966,
    https://doi.org/10.1007/BF02289451.

    Args:
        old: ``float32 (passages, source dim)``.
        new: ``float32 (passages, target dim)``, of the same passages.
    """
    cross = old.T.astype(np.float64) @ new
    left, _, right = np.linalg.svd(cross + 1e-6 * np.eye(*cross.shape), full_matrices=False)
    return np.ascontiguousarray(left @ right, dtype=np.float32)


def agreement(queries: Floats, vectors: Floats, truth: Floats) -> float:
    """Return the share of their true nearest neighbours that passages find on average, in [0, 1].

    Args:
        queries: ``(passages, dim)``, unit rows: what each passage searches with.
        vectors: ``(passages, dim)``, unit rows: what is searched; a passage never finds itself.
        truth: ``(passages, any dim)``, unit rows: nearest neighbours among these are the true ones.

    Returns:
        The share; 0 for fewer than 5 passages.
    """
    k = min(K, (len(vectors) - 1) // 4)
    if k < 1:
        return 0.0
    found, wanted = _nearest(queries, vectors, k), _nearest(truth, truth, k)
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(found, wanted, strict=True)]))


def _nearest(queries: Floats, vectors: Floats, k: int) -> list[list[int]]:
    similarities = queries @ vectors.T
    np.fill_diagonal(similarities, -np.inf)
    nearest: list[list[int]] = np.argpartition(-similarities, k - 1, axis=1)[:, :k].tolist()
    return nearest


def _kernel(rows: Floats, landmarks: Floats) -> Floats:
    """Return the kernel of each row and each landmark, ``float32 (rows, landmarks)``; 1 if they are equal."""
    inner: Floats = rows @ landmarks.T
    inner -= 1
    inner /= WIDTH
    return np.exp(inner, out=inner)


def _unit(rows: Floats) -> Floats:
    """Return the rows scaled to norm 1. A row of zeros, which has no direction, becomes a fixed unit vector."""
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    if not norms.all():
        rows, norms = np.where(norms > 0, rows, 1), np.where(norms > 0, norms, np.sqrt(rows.shape[1]))
    return np.asarray(rows / norms, dtype=np.float32)


def _checked(found: dict[str, NDArray[Any]]) -> Alignment:
    """Return the alignment in the arrays of a file; raise if they do not fit together."""
    if found["format"] != FORMAT:
        raise ValueError(f"format {found['format']}")
    matrices = [found[name] for name in ("rotation", "landmarks", "weights")]
    for matrix in matrices:
        if matrix.ndim != 2 or matrix.dtype != np.float32 or not np.isfinite(matrix).all():
            raise ValueError(f"{matrix.dtype} values of shape {matrix.shape} instead of a finite float32 matrix")
    rotation, landmarks, weights = matrices
    if not rotation.size or landmarks.shape != (len(weights), len(rotation)) or weights.shape[1] != rotation.shape[1]:
        raise ValueError(f"matrices of shapes {rotation.shape}, {landmarks.shape} and {weights.shape}")
    names = str(found["source"]), str(found["target"])
    return Alignment(*names, rotation, landmarks, weights, float(found["agreement"]), float(found["before"]))
