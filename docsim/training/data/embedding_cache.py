"""A cache of a teacher's embeddings on disk, so that a training that was killed need not compute them again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from docsim.files import replacing
from docsim.progress import SILENT, Progress
from docsim.training.data.batch_layout import Floats

__all__ = ["EmbeddingCache"]

_TEXTS_PER_FILE = 256


@dataclass(frozen=True, slots=True)
class EmbeddingCache:
    """Cached embeddings of texts, 256 texts to a file.

    Attributes:
        folder: Directory of the files; created if missing.
        key: Whatever else the embeddings depend on, such as the teacher's fingerprint.
        embed: Computes the embeddings of texts, float32 ``(texts, width)``; called for what is not cached.
    """

    folder: Path
    key: str
    embed: Callable[[list[str]], Floats]

    def rows(self, texts: Sequence[str], *, progress: Progress = SILENT) -> Floats:
        """Return the embeddings of texts, float32 ``(texts, width)``.

        Args:
            texts: At least one text.
            progress: Told after every 256 texts.

        Raises:
            OSError: A file cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        progress.begin("asking the teacher", len(texts))
        blocks = []
        for begin in range(0, len(texts), _TEXTS_PER_FILE):
            blocks.append(self._block(list(texts[begin : begin + _TEXTS_PER_FILE])))
            progress.advance(len(blocks[-1]))
        return np.concatenate(blocks)

    def _block(self, texts: list[str]) -> Floats:
        content = "\0".join([self.key, *texts]).encode("utf-8", "surrogatepass")
        file = self.folder / f"{hashlib.sha256(content).hexdigest()[:32]}.npy"
        try:
            known: Floats = np.load(file, allow_pickle=False)
            if known.ndim == 2 and len(known) == len(texts):
                return known
        except (OSError, ValueError, EOFError):
            pass  # not cached, or cut short by a crash
        rows = np.asarray(self.embed(texts), dtype=np.float32)
        with replacing(file) as target:
            np.save(target, rows)
        return rows
