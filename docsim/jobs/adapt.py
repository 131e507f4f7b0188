"""Adaptation: what an index's encoder was adapted to, and whether that has changed.

The encoder that training starts from stays the same, however often an index is adapted: it is kept beside each adapted
generation (``generations/NNNN/base``). What was learned from is noted in the database: nothing is trained twice.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from docsim.encoding.encoder import Encoder, fingerprint_of
from docsim.errors import EncoderError
from docsim.index import Index

__all__ = ["Task", "note", "task", "workplace"]

_KEY = "adapted"


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be learned from what.

    Attributes:
        base: The encoder to start from.
        digest: SHA-256 (64 hex digits) of the documents, the start and the settings.
        known: The encoder that came of this before; None when it is to be trained.
        live: Number of the live generation.
        is_live: Whether ``known`` is what the index answers with.
    """

    base: Encoder
    digest: str
    known: Encoder | None
    live: int
    is_live: bool


def workplace(path: Path) -> Path:
    """Return the directory that an adaptation is trained in; it can be removed when nobody is training."""
    return path / "adapting"


def task(path: Path, *, start: Path | None, settings: str) -> Task:
    """Return what an adaptation has to do.

    Args:
        path: The index's directory.
        start: The encoder to start from; by default the one that the live generation's was adapted from.
        settings: What else decides about the result.

    Raises:
        EncoderError: The encoder to start from is missing or damaged.
    """
    with Index.open(path) as index:
        engine = index.engine
        with engine.snapshot() as snapshot:
            live = snapshot.generation
            contents = sorted((one.document.id, one.digest) for one in snapshot.scan(characters=0))
        base = Encoder.load(start or engine.base_directory(live.number))
        digest = hashlib.sha256(f"{base.fingerprint} {settings}".encode())
        for _, content in contents:
            digest.update(content.encode())
        noted = json.loads(engine.note(_KEY) or "{}")
        places = [engine.encoder_directory(one.generation.number) for one in engine.generations()]
    fingerprint = str(noted.get("encoder", "")) if noted.get("digest") == digest.hexdigest() else ""
    known = _known([*places, workplace(path) / "encoder"], fingerprint) if fingerprint else None
    return Task(base, digest.hexdigest(), known, live.number, live.fingerprint == fingerprint)


def note(path: Path, found: Task, encoder: Encoder) -> None:
    """Record what encoder came of a task.

    Raises:
        StoreError: The index cannot be written to.
    """
    with Index.open(path) as index:
        index.engine.keep_note(_KEY, json.dumps({"digest": found.digest, "encoder": encoder.fingerprint}))


def _known(places: list[Path], fingerprint: str) -> Encoder | None:
    """Return the encoder with a fingerprint, if it is in one of some directories."""
    for place in places:
        try:
            if fingerprint_of(place) == fingerprint:
                return Encoder.load(place)
        except EncoderError:
            continue
    return None
