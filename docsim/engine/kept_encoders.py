"""Kept encoders: what both engines check of the encoder that a generation was made with, and what they say of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docsim.engine.records import Generation
from docsim.errors import EncoderError, FingerprintMismatch

__all__ = ["check", "explained"]


def check(fingerprint: str, generation: Generation, *, index: object, path: Path | None = None) -> None:
    """Check that an encoder is the one that made a generation's embeddings.

    Args:
        fingerprint: That of the encoder which was found.
        generation: The generation.
        index: The index, as users name it.
        path: Where the encoder was found, if users can look there.

    Raises:
        FingerprintMismatch: It is another encoder.
    """
    if fingerprint != generation.fingerprint:
        place = f" at {path}" if path else ""
        raise FingerprintMismatch(
            f"the index at {index} answers only with its own encoder; found one with the fingerprint "
            f"{fingerprint[:12]}{place}. {_remedy(generation)}",
            hint=_hint(index),
        )


@contextmanager
def explained(generation: Generation, *, index: object) -> Iterator[None]:
    """Add to the ``EncoderError`` of an encoder that cannot be loaded what can be done."""
    try:
        yield
    except EncoderError as error:
        raise EncoderError(f"{error}. {_remedy(generation)}", hint=_hint(index)) from error


def _remedy(generation: Generation) -> str:
    return (
        f"Put back the encoder {generation.encoder} (fingerprint {generation.fingerprint[:12]}), or re-index with "
        "another one"
    )


def _hint(index: object) -> str:
    return f"docsim reindex --encoder DIR --index {shlex.quote(str(index))}"
