"""Kept encoders: each generation keeps a copy of the encoder that it was made with, and is searched with no other.

generations/0001/encoder/   the encoder that the generation was made with
generations/0001/base/      the encoder that it was fine-tuned from, if it was fine-tuned
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docsim.encoding.encoder import MANIFEST_FILE, Encoder, fingerprint_of
from docsim.engine.records import Generation
from docsim.errors import EncoderError, EncoderGone, FingerprintMismatch, StoreError
from docsim.files import flush

__all__ = ["base", "check", "copy", "directory", "explained", "load", "restore"]


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


def copy(encoder: Encoder, target: Path) -> None:
    """Copy an encoder's files; when this returns, they are complete on the disk.

    Raises:
        EncoderGone: They were removed after the encoder had been loaded.
    """
    try:
        _copy(encoder, target)
    except FileNotFoundError as error:
        if (encoder.path / MANIFEST_FILE).is_file():
            raise
        raise EncoderGone(f"the encoder at {encoder.path} was removed meanwhile; choose one again") from error


def _copy(encoder: Encoder, target: Path) -> None:
    temporary = target.with_name(f"{target.name}.tmp")
    for leftover in (temporary, target):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir(parents=True)
    for path in encoder.path.iterdir():
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            shutil.copyfile(path, temporary / path.name)
            if path.name == MANIFEST_FILE:  # differs for an encoder that was loaded with fewer dimensions
                content = json.dumps(dict(encoder.manifest), indent=2, ensure_ascii=False)
                (temporary / path.name).write_text(content + "\n", encoding="utf-8")
            flush(temporary / path.name)
    temporary.rename(target)
    flush(target.parent)


def load(index: Path, generation: Generation) -> Encoder:
    """Load the encoder kept in a generation.

    Raises:
        FingerprintMismatch: It is not the encoder that made the generation's embeddings.
        EncoderError: It is missing or damaged.
    """
    path = directory(index, generation.number) / "encoder"
    try:
        encoder = Encoder.load(path)
    except EncoderError as error:
        raise EncoderError(f"{error}. {_remedy(generation)}", hint=_hint(index)) from error
    _check(encoder.fingerprint, index, generation)
    return encoder


def check(index: Path, generation: Generation) -> None:
    """Check the files of the encoder kept in a generation, without loading it.

    Raises:
        FingerprintMismatch: It is not the encoder that made the generation's embeddings.
        EncoderError: It is missing or damaged.
    """
    _check(fingerprint_of(directory(index, generation.number) / "encoder"), index, generation)


def _check(found: str, index: Path, generation: Generation) -> None:
    if found != generation.fingerprint:
        raise FingerprintMismatch(
            f"the index at {index} answers only with its own encoder; found one with the fingerprint {found[:12]} at "
            f"{directory(index, generation.number) / 'encoder'}. {_remedy(generation)}",
            hint=_hint(index),
        )


def _remedy(generation: Generation) -> str:
    return (
        f"Put back the encoder {generation.encoder} (fingerprint {generation.fingerprint[:12]}), or re-index with "
        "another one"
    )


def _hint(index: Path) -> str:
    return f"docsim reindex --encoder DIR --index {index}"


@contextmanager
def explained(index: Path) -> Iterator[None]:
    """Turn the ``OSError`` of a file that cannot be written into a ``StoreError``."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"could not write to {index}: {reason}; what was committed before is safe") from error
