"""The records that travel between the layers: documents going in, hits coming out.

All are frozen and hold plain Python values, so that they can be hashed into a digest, stored as JSON and compared in
tests. Offsets are in characters (Unicode code points) of ``Document.text``; similarities are inner products of unit
vectors, in [-1, 1], higher is better.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from docsim.errors import UsageError

__all__ = [
    "DEFAULT_MODE",
    "MODES",
    "MOST",
    "Document",
    "Entry",
    "Failure",
    "Hit",
    "Mode",
    "Passage",
    "PassageHit",
    "Ranking",
    "SearchResult",
    "SyncReport",
    "storable",
]

Metadata = Mapping[str, Any]

Mode = Literal["dense", "lexical", "hybrid"]
"""What ranks: the similarity of embeddings, the words in common, or both."""

MOST = 2**31 - 1
"""Hits that can be asked for, and left out before them."""

MODES: tuple[Mode, ...] = ("dense", "lexical", "hybrid")

DEFAULT_MODE: Mode = "hybrid"

# Code points that SQLite's UTF-8 text cannot hold or that end a C string: unpaired surrogates and NUL.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

# NUL as JSON spells it: an odd number of backslashes before u0000.
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


@dataclass(frozen=True, slots=True)
class Document:
    """What the user gave: one text under a stable id.

    Unpaired surrogates and NUL characters, which no database text can hold, become U+FFFD; everything else is kept
    as it came, so that passage offsets slice ``text`` exactly.

    Attributes:
        id: Stable name, unique in an index, not empty. For a file: its path relative to the source's root, with ``/``.
        text: The whole text; may be empty.
        title: Shown in results and embedded with the text; may be empty.
        metadata: JSON-serialisable values by name; numbers that JSON lacks become their names, such as ``"NaN"``.
    """

    id: str
    text: str
    title: str = ""
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("id", "text", "title"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise TypeError(f"Document.{name} must be a str, not {type(value).__name__}")
            object.__setattr__(self, name, storable(value))
        if not self.id.strip():
            raise ValueError("Document.id must not be empty")
        object.__setattr__(self, "metadata", _plain(self.metadata))

    def digest(self) -> str:
        """Return the SHA-256 (64 hex digits) of title, text and metadata; equal content gives an equal digest."""
        content = _canonical([self.title, self.text, self.metadata])
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """One document of a source before it is read: enough to tell whether it changed.

    Attributes:
        path: The document's id within its source.
        digest: Hash over the raw content and whatever decides how it is read.
        load: Reads and converts; raises ``SourceError`` when the content cannot be read.
    """

    path: str
    digest: str
    load: Callable[[], Document]


@dataclass(frozen=True, slots=True)
class Failure:
    """A document that could not be read, and why, in one sentence for people.

    ``identified`` is false when ``path`` only says where it stands, since its id could not be read.
    """

    path: str
    reason: str
    identified: bool = True


@dataclass(frozen=True, slots=True)
class Passage:
    """A contiguous span of one document: ``text[start:end]`` is the passage.

    Attributes:
        start: First character.
        end: One past the last character.
        heading: The headings above the span, outermost first, joined by `` > ``; empty when there are none.
    """

    start: int
    end: int
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Ranking:
    """How to choose hits from the documents found, beyond the best first.

    Attributes:
        offset: Hits to leave out at the beginning: with ``k`` 10, an offset of 10 gives the second page.
        diversity: How much a hit that is like those before it is put back, in [0, 1]; 0 leaves the order as it is.
        min_similarity: Leave out hits below this similarity, in [-1, 1]; fewer than ``k`` may come back.
        group_by: A metadata field; of the documents with the same value only the best comes back. Documents without
            the field stand for themselves.

    Raises:
        UsageError: A value is out of its range.
    """

    offset: int = 0
    diversity: float = 0.0
    min_similarity: float | None = None
    group_by: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.offset, int) or not 0 <= self.offset <= MOST:
            raise UsageError(f"expected an offset as a whole number from 0 to {MOST:,}, got {self.offset}")
        if not 0 <= self.diversity <= 1:
            raise UsageError(f"expected a diversity from 0 to 1, got {self.diversity}")
        if self.min_similarity is not None and not -1 <= self.min_similarity <= 1:
            raise UsageError(f"expected a least similarity from -1 to 1, got {self.min_similarity}")
        if self.group_by == "":
            raise UsageError("expected the name of a metadata field to group by, got an empty one")


@dataclass(frozen=True, slots=True)
class PassageHit:
    """A passage that made its document a hit."""

    start: int
    end: int
    text: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Hit:
    """One result: a document, what ranked it, and the passages that made it.

    Attributes:
        rank: 1 for the best of all, whatever the offset.
        id: The document's id.
        title: The document's title.
        score: What the hits are ranked by, before diversity; comparable within one result only.
        similarity: Inner product of the best pair of query and document passages, in [-1, 1].
        percentile: How rare that similarity is: what share of random pairs, of a document and a text as long as the
            query, is less similar, in percent, [0, 100]; None where there are no pairs.
        metadata: The document's metadata.
        passages: The best passages of the document, best first.
    """

    rank: int
    id: str
    title: str
    score: float
    similarity: float
    percentile: float | None
    metadata: Metadata
    passages: tuple[PassageHit, ...]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to one query.

    Attributes:
        query: The text, or the id of the document, that was asked for.
        mode: How hits were ranked.
        generation: Number of the generation that answered.
        encoder: Fingerprint of the encoder in whose space query and documents were compared.
        took_ms: Milliseconds from call to answer.
        hits: Best first; shorter than asked only when fewer documents qualify.
        adapter: Whether that is a newer encoder than the generation's, whose embeddings were mapped into its space.
    """

    query: str
    mode: Mode
    generation: int
    encoder: str
    took_ms: float
    hits: tuple[Hit, ...]
    adapter: bool = False


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one sync did, in documents.

    ``kept`` counts documents that vanished from the source and were not removed because pruning was off.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    kept: int = 0
    failures: tuple[Failure, ...] = ()


def storable(text: str) -> str:
    """Return ``text`` with what no database text can hold, unpaired surrogates and NUL, replaced by U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def _plain(metadata: Metadata) -> Metadata:
    """Return metadata as JSON can hold it: numbers that JSON lacks become their names."""
    text = _ESCAPED_NUL.sub("\\1\ufffd", storable(_canonical(metadata)))
    plain: Metadata = json.loads(text, parse_constant=str)
    return plain


def _canonical(value: object) -> str:
    """Return ``value`` as JSON with sorted keys; dates and other values JSON lacks become their ``str``."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str, separators=(",", ":"))
