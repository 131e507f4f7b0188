"""An encoder that has been there before: it looks embeddings up in files, and encodes only what they lack.

It is looked for by the very text that is encoded. So whatever has changed since the files were made is encoded anew,
and it doesn't matter which index, document or shard a text was in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docsim.bulk import files
from docsim.bulk.files import Stored
from docsim.encoding.encoder import Encoder
from docsim.errors import StoreError

__all__ = ["PreparedEncoder", "prepared"]

_AT_ONCE = 65_536  # texts that are looked up together


class PreparedEncoder(Encoder):
    """An encoder with embeddings that it made before; in all else the encoder that it was made of.

    Attributes:
        found: How many texts were looked up so far.
        encoded: How many were not there, and encoded.
    """

    found: int
    encoded: int

    def __init__(self, encoder: Encoder, stored: Sequence[Stored]) -> None:
        """Take an encoder, and what is stored of it, in any order."""
        self.__dict__.update(encoder.__dict__)
        self.found = self.encoded = 0
        self._counting = threading.Lock()
        self._stored = [one.embeddings for one in stored]
        sizes = [len(one.keys) for one in stored]
        keys = np.concatenate([one.keys for one in stored]) if stored else np.empty((0, 2), np.uint64)
        order = np.argsort(keys[:, 0], kind="stable")
        self._keys = keys[order]  # uint64 (passages, 2), by the first half
        self._files = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)[order]
        places = [np.arange(size, dtype=np.int32) for size in sizes]
        self._rows = np.concatenate(places)[order] if places else np.empty(0, np.int32)

    def __len__(self) -> int:
        """Return how many passages are stored."""
        return len(self._keys)

    def encode_into(
        self,
        rows: NDArray[np.floating],
        texts: Sequence[str],
        *,
        unpadded: bool = False,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Write the embeddings of texts into ``rows``; see ``Encoder.encode_into``."""
        for start in range(0, len(texts), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            missing = self._look_up(rows[some], texts[some]) + start
            self._count(len(rows[some]) - len(missing), len(missing))
            if len(missing):
                made = np.empty((len(missing), self.dim), rows.dtype)
                wanted = [texts[place] for place in missing.tolist()]
                super().encode_into(made, wanted, unpadded=unpadded, is_stopped=is_stopped)
                rows[missing] = made

    def _count(self, found: int, encoded: int) -> None:
        with self._counting:
            self.found += found
            self.encoded += encoded

    def _look_up(self, rows: NDArray[np.floating], texts: Sequence[str]) -> NDArray[np.int64]:
        """Write what is stored of some texts, and return the places of the others."""
        wanted = np.frombuffer(b"".join(map(files.key, texts)), "<u8").reshape(-1, 2).astype(np.uint64, copy=False)
        places = np.searchsorted(self._keys[:, 0], wanted[:, 0])
        here = np.minimum(places, max(0, len(self._keys) - 1))
        is_known = np.zeros(len(wanted), bool)
        if len(self._keys):
            is_known = np.all(self._keys[here] == wanted, axis=1)
        known = np.flatnonzero(is_known)
        for file in np.unique(self._files[here[known]]).tolist():
            of_file = known[self._files[here[known]] == file]
            rows[of_file] = self._stored[file][self._rows[here[of_file]]]
        return np.flatnonzero(~is_known)


def prepared(encoder: Encoder, folder: Path) -> PreparedEncoder:
    """Return an encoder that looks up what the files in a folder hold.

    Args:
        encoder: The encoder.
        folder: Where files of embeddings were written to; those of other encoders are not looked at.

    Raises:
        MissingExtra: The extra ``embed`` is not installed.
        StoreError: There is no file of this encoder, or one is damaged.
    """
    found = sorted(files.folder_of(folder, encoder.fingerprint).glob(f"*{files.SUFFIX}"))
    if not found:
        raise StoreError(
            f"expected embeddings of {encoder.name} (fingerprint {encoder.fingerprint[:12]}) in {folder}, found none",
            hint=f"docsim embed --out {folder}",
        )
    return PreparedEncoder(encoder, [files.read(path, encoder) for path in found])
