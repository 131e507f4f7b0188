"""Encoders that are kept in the database: each generation is searched with a copy of its own, and with no other.

A machine keeps those that it has used in its cache, in folders named after their fingerprints.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from docsim.encoding.copying import copy
from docsim.encoding.encoder import Encoder, fingerprint_of
from docsim.engine import kept_encoders
from docsim.engine.postgres import files
from docsim.engine.postgres.address import Address
from docsim.engine.postgres.store import Store
from docsim.engine.records import Generation
from docsim.errors import EncoderError

__all__ = ["base", "check", "directory", "keep", "load", "restore"]


def directory(store: Store, generation: Generation, *, fresh: bool = False) -> Path:
    """Return a folder with the encoder of a generation; it need not exist if the database has lost it.

    Args:
        store: Sees the index.
        generation: The generation.
        fresh: Fetch it again, as the copy in the cache may be damaged.
    """
    return _fetched(store, f"encoder {generation.number}", generation.fingerprint, fresh=fresh)


def base(store: Store, generation: Generation) -> Path:
    """Return a folder with what the encoder of a generation was trained from; its own, if it was not."""
    fingerprint = store.value("SELECT base FROM generations WHERE number = %s", generation.number)
    if fingerprint is None:
        return directory(store, generation)
    return _fetched(store, f"base {generation.number}", str(fingerprint))


def _fetched(store: Store, owner: str, fingerprint: str, *, fresh: bool = False) -> Path:
    target = files.cache("encoders") / fingerprint
    if fresh or not target.is_dir():
        files.fetch_directory(store, owner, target)
    return target


def load(store: Store, generation: Generation, address: Address) -> Encoder:
    """Load the encoder of a generation.

    Raises:
        FingerprintMismatch: It is not the encoder that made the generation's embeddings.
        EncoderError: It is missing or damaged.
    """
    try:
        found = Encoder.load(directory(store, generation))
        if found.fingerprint == generation.fingerprint:
            return found
    except EncoderError:
        pass  # the copy in the cache may be damaged
    with kept_encoders.explained(generation, index=address):
        found = Encoder.load(directory(store, generation, fresh=True))
    kept_encoders.check(found.fingerprint, generation, index=address)
    return found


def check(store: Store, generation: Generation, address: Address) -> None:
    """Check the files of a generation's encoder in the database, without loading it.

    Raises:
        FingerprintMismatch: It is not the encoder that made the generation's embeddings.
        EncoderError: It is missing or damaged.
    """
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary, "encoder")
        files.fetch_directory(store, f"encoder {generation.number}", target)
        kept_encoders.check(fingerprint_of(target), generation, index=address)


def keep(store: Store, owner: str, encoder: Encoder) -> None:
    """Keep an encoder's files in the database, in the transaction that is open."""
    with tempfile.TemporaryDirectory() as temporary, files.explained(Path(temporary)):
        copied = Path(temporary, "encoder")
        copy(encoder, copied)
        files.keep_directory(store, owner, copied)


def restore(store: Store, generation: Generation, encoder: Encoder, address: Address) -> None:
    """Replace the encoder of a generation, if it is damaged, in the transaction that is open."""
    try:
        check(store, generation, address)
    except EncoderError:
        keep(store, f"encoder {generation.number}", encoder)
