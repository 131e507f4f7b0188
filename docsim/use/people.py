"""People: told apart in the record of use by keyed hashes, so that no name or address is ever written.

The key is made at random and kept beside the record, in ``use.key``, which only its owner can read. Without it a name
cannot be tried out against the record.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from docsim.errors import StoreError

__all__ = ["KEY_FILE", "People"]

KEY_FILE = "use.key"

_KEY_BYTES = 32
_HASH_BYTES = 16
_MOST_KNOWN = 10_000  # hashes that are remembered in memory


class People:
    """Hashes names with the key of one index."""

    def __init__(self, index: Path) -> None:
        """Read the key beside an index, and make it when there is none.

        Raises:
            StoreError: It can neither be read nor made, or is damaged.
        """
        path = index / KEY_FILE
        try:
            if not path.exists():
                _make(path)
            key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except (OSError, ValueError) as error:
            raise StoreError(f"expected a key of {_KEY_BYTES} bytes in {path}, could not read it: {error}") from error
        if len(key) != _KEY_BYTES:
            raise StoreError(f"expected a key of {_KEY_BYTES} bytes in {path}, found one of {len(key)}")
        self._key = key
        self._known: dict[str, str] = {}

    def hashed(self, name: str) -> str:
        """Return what stands for a name or address: 32 hex digits."""
        if (known := self._known.get(name)) is not None:
            return known
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        whole = hmac.digest(self._key, name.encode("utf-8", "surrogateescape"), "sha256")
        return self._known.setdefault(name, whole[:_HASH_BYTES].hex())

    @property
    def mark(self) -> str:
        """What tells this key from others without giving it away: 16 hex digits."""
        return hashlib.sha256(b"docsim use " + self._key).hexdigest()[:16]


def _make(path: Path) -> None:
    """Make a key; of several processes that do so at once, one wins."""
    own = path.with_name(f".{KEY_FILE}.{secrets.token_hex(8)}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(own, path)
    finally:
        own.unlink()
