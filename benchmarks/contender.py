"""What every contender of ``peers.py`` can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HITS = 10

Record = dict[str, str]
Floats = NDArray[np.float32]


def whole(record: Record) -> str:
    return record["title"] + "\n" + record["text"]


def unit(rows: Any) -> Floats:
    """Return rows of unit norm, ``float32 (n, dim)``."""
    rows = np.asarray(rows, dtype=np.float32)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


class Contender(ABC):
    """One peer with one model and one index on disk; made anew in every process."""

    def __init__(self, model: str, index: Path) -> None:
        self.model = model
        self.index = index

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> Floats:
        """Return embeddings as the peer's own model makes them, ``float32 (n, dim)``, unit rows."""

    @abstractmethod
    def build(self, records: Sequence[Record]) -> None:
        """Index documents and leave the index on disk."""

    @abstractmethod
    def open(self) -> None:
        """Make ready to search what ``build`` left on disk."""

    @abstractmethod
    def search_many(self, texts: Sequence[str], k: int) -> list[list[str]]:
        """Return the ids of the best documents for each text, in one call where the peer has one."""

    @abstractmethod
    def exact(self, text: str) -> dict[str, float]:
        """Return the similarity of every document to a text by the open index's own embeddings, without its index."""

    def search(self, text: str, k: int = HITS) -> list[str]:
        return self.search_many([text], k)[0]

    def similar(self, id: str, text: str, k: int) -> list[str]:
        """Return documents like an indexed one, which may itself be among them."""
        return self.search(text, k)

    def nearest(self, text: str) -> list[str]:
        """Return what the index finds by embeddings alone, of which the recall is measured."""
        return self.search(text)


class OneEmbedding(Contender):
    """A peer that has one embedding for each document."""

    @abstractmethod
    def vectors(self) -> tuple[list[str], Floats]:
        """Return every document's id and embedding, unit rows, as the open index holds them."""

    def exact(self, text: str) -> dict[str, float]:
        ids, rows = self._all
        return dict(zip(ids, (rows @ self.encode([text])[0]).tolist(), strict=True))

    @cached_property
    def _all(self) -> tuple[list[str], Floats]:
        return self.vectors()
