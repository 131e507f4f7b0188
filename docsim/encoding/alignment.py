"""Adapters: a map of an old encoder's embeddings into a new encoder's space, so that new queries search them.

Learnt from passages that both encoders embedded: the rotation that brings the old embeddings nearest to the new ones
(orthogonal Procrustes, Schönemann 1966, https://doi.org/10.1007/BF02289451), and a correction that kernel ridge
regression learns from what the rotation leaves over (Saunders, Gammerman and Vovk, ICML 1998). The kernel of two
embeddings is exp((a . b - 1) / WIDTH), which for unit vectors is the Gaussian one.

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

__all__ = ["FORMAT", "LEAST", "Alignment", "K", "agreement", "fitted", "learnt", "procrustes"]

FORMAT = 2
"""Version of the file; one of another version is refused."""

K = 10
"""Nearest neighbours that are compared; fewer, where they would be more than a quarter of all passages."""

LEAST = 25
"""Passages, at least, for some to be held out whose neighbours tell anything."""

WIDTH = 0.5
"""Of the kernel, in inner products."""

RIDGE = 0.1
"""Strength of the regression's penalty."""

_HELD_OUT = 0.2
_TOGETHER = 4096  # embeddings that are mapped together

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """A map from one encoder's embeddings to another's.

    Attributes:
        source: Fingerprint of the encoder whose embeddings are mapped.
        target: Fingerprint of the encoder in whose space they are afterwards.
        rotation: ``float32 (source dim, target dim)``, finite.
        landmarks: Embeddings of the source that others are compared with, ``float32 (landmarks, source dim)``, finite.
        weights: What is added for each landmark, ``float32 (landmarks, target dim)``, finite.
        agreement: Share of the target encoder's ``K`` nearest neighbours that held-out passages find among the mapped
            embeddings, in [0, 1].
        before: The same share where the source encoder looks among its own: what is found without an adapter.
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
        """Components of what is mapped, and of what it is mapped to."""
        return self.rotation.shape[0], self.rotation.shape[1]

    def apply(self, embeddings: NDArray[np.floating]) -> Floats:
        """Return the embeddings mapped: ``float32 (n, target dim)``, unit rows.

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
                return _checked(dict(found))
        except Exception as error:  # a damaged archive raises whatever its parts' readers raise
            raise StoreError(
                f"expected an adapter of format {FORMAT} at {path}, could not read one ({error}); start the instant "
                "upgrade again",
                hint="docsim reindex --instant",
            ) from error


def learnt(old: Floats, new: Floats, *, source: str, target: str, seed: int = 0) -> Alignment:
    """Learn an adapter from passages that two encoders embedded.

    A map learnt from four fifths of them tells by the rest how good it is; the one that is returned knows them all.

    Args:
        old: ``float32 (passages, source dim)``, unit rows: what is to be mapped.
        new: ``float32 (passages, target dim)``, unit rows, of the same passages; at least two.
        source: Fingerprint of the encoder of ``old``.
        target: Fingerprint of the encoder of ``new``.
        seed: Of what is held out.

    Raises:
        ValueError: The rows do not pair up, are fewer than two or not all finite.
    """
    if len(new) != len(old) or len(new) < 2:
        raise ValueError(f"expected the same passages twice, two at least; got {len(old)} and {len(new)}")
    if not (np.isfinite(new).all() and np.isfinite(old).all()):
        raise ValueError("expected finite embeddings, got others")
    order = np.random.default_rng(seed).permutation(len(new))
    held, rest = np.split(order, [max(1, round(_HELD_OUT * len(new)))])
    tried = Alignment(source, target, *fitted(old[rest], new[rest])).apply(old[held])
    found = agreement(new[held], tried, new[held]), agreement(old[held], old[held], new[held])
    return Alignment(source, target, *fitted(old, new), *found)


def fitted(old: Floats, new: Floats) -> tuple[Floats, Floats, Floats]:
    """Return rotation, landmarks and weights of the map that brings ``old`` to ``new``; see ``Adapter``."""
    rotation = procrustes(old, new)
    square = _kernel(old, old).astype(np.float64) + RIDGE * np.eye(len(old))
    weights = np.linalg.solve(square, (new - old @ rotation).astype(np.float64))
    return rotation, old, weights.astype(np.float32)


def procrustes(old: Floats, new: Floats) -> Floats:
    """Return the orthogonal map ``(source dim, target dim)`` that brings ``old`` nearest to ``new``.

    Of what the passages say nothing about, components stay as they are.
    """
    cross = old.T.astype(np.float64) @ new
    left, _, right = np.linalg.svd(cross + 1e-6 * np.eye(*cross.shape), full_matrices=False)
    return np.ascontiguousarray(left @ right, dtype=np.float32)


def agreement(queries: Floats, vectors: Floats, truth: Floats) -> float:
    """Return the share of each passage's true nearest neighbours that it finds, in [0, 1]; 0 for fewer than 5 passages.

    Args:
        queries: ``(passages, dim)``, unit rows: what is asked.
        vectors: ``(passages, dim)``, unit rows: what is searched.
        truth: ``(passages, any dim)``, unit rows, whose neighbours among themselves are the true ones.
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
    """Return how near each row is to each landmark, ``float32 (rows, landmarks)``, 1 for the same."""
    inner: Floats = rows @ landmarks.T
    inner -= 1
    inner /= WIDTH
    return np.exp(inner, out=inner)


def _unit(rows: Floats) -> Floats:
    """Return rows of norm 1; a row of zeros, which has no direction, gets a fixed one."""
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    if not norms.all():
        rows, norms = np.where(norms > 0, rows, 1), np.where(norms > 0, norms, np.sqrt(rows.shape[1]))
    return np.asarray(rows / norms, dtype=np.float32)


def _checked(found: dict[str, NDArray[Any]]) -> Alignment:
    if found["format"] != FORMAT:
        raise ValueError(f"format {found['format']}")
    maps = [found[name] for name in ("rotation", "landmarks", "weights")]
    for matrix in maps:
        if matrix.ndim != 2 or matrix.dtype != np.float32 or not np.isfinite(matrix).all():
            raise ValueError(f"{matrix.dtype} numbers of shape {matrix.shape}, not all finite perhaps")
    rotation, landmarks, weights = maps
    if not rotation.size or landmarks.shape != (len(weights), len(rotation)) or weights.shape[1] != rotation.shape[1]:
        raise ValueError(f"maps of shapes {rotation.shape}, {landmarks.shape} and {weights.shape}")
    names = str(found["source"]), str(found["target"])
    return Alignment(*names, rotation, landmarks, weights, float(found["agreement"]), float(found["before"]))
