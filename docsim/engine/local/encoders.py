"""Kept encoders: each generation keeps a copy of the encoder that it was made with, and is searched with no other.

generations/0001/encoder/   the encoder that the generation was made with
generations/0001/base/      the encoder that it was fine-tuned from, if it was fine-tuned
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docsim import allocation
from docsim.encoding.copying import copy
from docsim.encoding.encoder import Encoder, fingerprint_of
from docsim.engine import kept_encoders
from docsim.engine.records import Generation
from docsim.errors import EncoderError, StoreError

__all__ = ["base", "check", "directory", "explained", "load", "restore"]


def directory(index: Path, number: int) -> Path:
    """Return the directory of generation ``number``."""
    return index / "generations" / f"{number:04}"


def base(index: Path, number: int) -> Path:
    """Return the directory of what a generation's encoder was fine-tuned from; if it was not, its own directory."""
    kept = directory(index, number) / "base"
    return kept if kept.is_dir() else kept.with_name("encoder")


def restore(index: Path, generation: Generation, encoder: Encoder) -> None:
    """Replace the encoder kept in a generation, if it is damaged, by an intact one with the same fingerprint."""
    try:
        check(index, generation)
    except EncoderError:
        with explained(index):
            copy(encoder, directory(index, generation.number) / "encoder")


def load(index: Path, generation: Generation) -> Encoder:
    """Load the encoder kept in a generation.

    Raises:
        FingerprintMismatch: It is not the encoder that made the generation's embeddings.
        EncoderError: It is missing or damaged.
    """
    path = directory(index, generation.number) / "encoder"
    with kept_encoders.explained(generation, index=index):
        encoder = Encoder.load(path)
    kept_encoders.check(encoder.fingerprint, generation, index=index, path=path)
    return encoder


def check(index: Path, generation: Generation) -> None:
    """Check the files of the encoder kept in a generation, without loading it.

    Raises:
        FingerprintMismatch: It is not the encoder that made the generation's embeddings.
        EncoderError: It is missing or damaged.
    """
    path = directory(index, generation.number) / "encoder"
    kept_encoders.check(fingerprint_of(path), generation, index=index, path=path)


@contextmanager
def explained(index: Path) -> Iterator[None]:
    """Turn the ``OSError`` of a file that cannot be written into a ``StoreError``, and that of memory into its own."""
    try:
        yield
    except OSError as error:
        if allocation.is_exceeded(error):
            raise MemoryError(str(error)) from error
        reason = error.strerror or error
        raise StoreError(f"could not write to {index}: {reason}; what was committed before is safe") from error
