"""The embeddings that a teacher gave, kept in files, so that a training that was killed does not ask for them again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docsim.files import replacing

__all__ = ["EmbeddingCache"]

Floats = NDArray[np.float32]

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class EmbeddingCache:
    """Embeddings of texts, 256 a file.

    Attributes:
        folder: Where the files are; made when missing.
        key: What decides about embeddings beside the texts, as a teacher's fingerprint.
        embed: Returns the embeddings of texts, ``float32 (texts, width)``; asked for what is in no file.
    """

    folder: Path
    key: str
    embed: Callable[[list[str]], Floats]

    def rows(self, texts: Sequence[str], *, progress: Callable[[int, int], None] | None = None) -> Floats:
        """Return the embeddings of texts, ``float32 (texts, width)``, at least one.

        Args:
            texts: What is embedded.
            progress: Called after every 256 texts with how many are done, and of how many.

        Raises:
            OSError: A file cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        blocks = []
        for begin in range(0, len(texts), _AT_ONCE):
            blocks.append(self._block(list(texts[begin : begin + _AT_ONCE])))
            if progress:
                progress(min(begin + _AT_ONCE, len(texts)), len(texts))
        return np.concatenate(blocks)

    def _block(self, texts: list[str]) -> Floats:
        content = "\0".join([self.key, *texts]).encode("utf-8", "surrogatepass")
        file = self.folder / f"{hashlib.sha256(content).hexdigest()[:32]}.npy"
        try:
            known: Floats = np.load(file, allow_pickle=False)
            if known.ndim == 2 and len(known) == len(texts):
                return known
        except (OSError, ValueError, EOFError):
            pass  # not asked yet, or torn
        rows = np.asarray(self.embed(texts), dtype=np.float32)
        with replacing(file) as target:
            np.save(target, rows)
        return rows
