"""Which of the shipped encoders a new index gets: the accurate one, as long as the first indexing stays quick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from docsim.encoding import shipped
from docsim.ingest.sources import Source

__all__ = ["LARGEST", "Choice", "choose"]

LARGEST = 4_000_000
"""Bytes of sources up to which the accurate encoder is chosen: some 1,000 pages, half a minute on two cores."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A shipped encoder, and why it was chosen.

    Attributes:
        name: One of ``shipped.NAMES``.
        reason: A clause for people that begins with "because".
    """

    name: str
    reason: str


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
