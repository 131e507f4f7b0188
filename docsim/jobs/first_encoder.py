"""The encoder of a new index, where the user names none: the accurate one, as long as the first indexing stays quick.

An index that holds no document yet may still get another one, as its first documents may be many more than what was
there when it was made.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from docsim.encoding import shipped
from docsim.encoding.encoder import Encoder
from docsim.index import Index
from docsim.ingest.sources import Source
from docsim.progress import SILENT, Progress

__all__ = ["LARGEST", "VARIABLE", "Choice", "Wanted", "choose", "give", "is_free", "note", "tell", "wanted"]

LARGEST = 4_000_000
"""Bytes of sources up to which the accurate encoder is chosen: some 1,000 pages, half a minute on two cores."""

VARIABLE = "DOCSIM_ENCODER"
"""The environment variable that names the encoder of new indexes."""

_KEY = "chosen encoder"  # the note that holds the fingerprint of an encoder that no user has named


@dataclass(frozen=True, slots=True)
class Choice:
    """A shipped encoder, and why it was chosen.

    Attributes:
        name: One of ``shipped.NAMES``.
        reason: A clause for people that begins with "because".
    """

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """The encoder that an index is to have, and how it was chosen; None where the user named it."""

    encoder: Encoder
    choice: Choice | None = None


def choose(sources: Sequence[Source], *, dim: int | None = None) -> Choice:
    """Return the encoder for a new index of some sources.

    Args:
        sources: What is read.
        dim: How many components are kept; only the fast encoder was trained for fewer.
    """
    if dim is not None:
        return Choice(shipped.FAST, "because it was trained for fewer components")
    sizes = [source.size() for source in sources]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return Choice(shipped.FAST, "because the size of what is read is not known in advance")
    total = sum(known)
    if total <= LARGEST:
        return Choice(shipped.ACCURATE, f"because there are at most {LARGEST // 1_000_000} MB to read")
    return Choice(shipped.FAST, f"because there are {total / 1e6:,.0f} MB to read")


def wanted(sources: Sequence[Source], *, encoder: Encoder | None = None, dim: int | None = None) -> Wanted:
    """Return the encoder for an index without documents.

    Args:
        sources: All that the index is to hold.
        encoder: The one that the user names; else the environment may name one, see ``VARIABLE``, or it is chosen.
        dim: How many components are kept of one that is not given as an ``Encoder``.

    Raises:
        EncoderError: It is missing or damaged, or was not trained for so many components.
    """
    if encoder is not None:
        return Wanted(encoder)
    if named := os.environ.get(VARIABLE):
        return Wanted(Encoder.load(named, dim=dim))
    choice = choose(sources, dim=dim)
    return Wanted(Encoder.load(shipped.directory(choice.name), dim=dim), choice)


def tell(found: Wanted, progress: Progress) -> None:
    """Say which encoder was chosen, and why; nothing of one that the user named."""
    if choice := found.choice:
        progress.say(f"Using the {choice.name} encoder, {choice.reason}; name another with --encoder")


def is_free(index: Index) -> bool:
    """Return whether an index may get another encoder: it holds no document, and its encoder was chosen for it."""
    chosen = index.engine.note(_KEY)
    return bool(chosen) and chosen == index.generation().fingerprint and not index.counts().documents


def note(index: Index, found: Wanted) -> None:
    """Record in an index whether its encoder was chosen for it.

    Raises:
        StoreError: The index cannot be written to.
    """
    chosen = found.encoder.fingerprint if found.choice else ""
    if chosen != (index.engine.note(_KEY) or ""):
        index.engine.keep_note(_KEY, chosen)


def give(index: Index, found: Wanted, *, wait: bool = False, progress: Progress = SILENT) -> None:
    """Let an index that ``is_free`` have an encoder.

    Args:
        index: The index.
        found: The encoder.
        wait: Wait for another process that is writing or re-indexing.
        progress: Told which encoder was chosen, if it is another one than before.

    Raises:
        IndexLocked: Another process is writing or re-indexing and ``wait`` is off.
        StoreError: The index cannot be written to.
    """
    if found.encoder.fingerprint != index.generation().fingerprint:
        from docsim.reindex import reindexing  # here, as few indexes need it

        tell(found, progress)
        reindexing.replace(index, found.encoder, wait=wait)
    note(index, found)
