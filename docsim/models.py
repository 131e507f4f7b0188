"""The records that users of docsim see: documents going in, hits coming out, and how an encoder learns.

All records are frozen and hold plain Python values, so that they can be hashed, stored as JSON and compared in tests.
Offsets count characters (Unicode code points) of ``Document.text``. A similarity is the inner product of two unit
vectors: in [-1, 1], higher is better.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from docsim.errors import UsageError
from docsim.text.storing import canonical, plain, quoted, storable

__all__ = [
    "DEFAULT_MODE",
    "MODES",
    "MOST",
    "Correction",
    "Document",
    "Entry",
    "Failure",
    "Hit",
    "Item",
    "LeftOut",
    "Mode",
    "Passage",
    "PassageHit",
    "Ranking",
    "SearchResult",
    "Stale",
    "SyncReport",
    "TrainingOptions",
]

Metadata = Mapping[str, Any]

Mode = Literal["dense", "lexical", "hybrid"]
"""How documents are ranked: by the similarity of embeddings, by the words they share with the query, or by both."""

MOST = 2**31 - 1
"""The largest number of hits that can be asked for, and the largest offset."""

MODES: tuple[Mode, ...] = ("dense", "lexical", "hybrid")
DEFAULT_MODE: Mode = "hybrid"

Stale = Literal["changed", "gone"]
"""What has become of the file that a document was read from."""

_PIECE = 1 << 20  # characters of a long text that are made JSON at a time


@dataclass(frozen=True, slots=True)
class Document:
    """One text under a stable id.

    Unpaired surrogates and NUL characters, which no database can store as text, become U+FFFD. Everything else is kept
    unchanged, so that the offsets of passages slice ``text`` exactly.

    Attributes:
        id: A stable name, unique in an index and not empty. For a file it is the path relative to the source's root,
            with ``/`` as separator.
        text: The whole text; may be empty.
        title: Shown in results and embedded together with each passage; may be empty.
        metadata: Values by field name. Numbers that JSON does not have become strings, such as ``"NaN"``, and so do
            dates and other values that JSON does not have.

    Raises:
        TypeError: ``id``, ``text`` or ``title`` is not a string.
        ValueError: ``id`` is empty or blank.
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
        object.__setattr__(self, "metadata", plain(self.metadata))

    def digest(self) -> str:
        """Return the SHA-256 (64 hex digits) of title, text and metadata. The id does not count."""
        hashed = hashlib.sha256(f'[{quoted(self.title)},"'.encode())
        for start in range(0, len(self.text), _PIECE):  # as a whole it would be there three times
            hashed.update(quoted(self.text[start : start + _PIECE])[1:-1].encode())
        hashed.update(f'",{canonical(self.metadata)}]'.encode())
        return hashed.hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """One document of a source that has not been read yet, with enough to tell whether it has changed.

    Attributes:
        path: The document's id within its source.
        digest: A hash of the raw content and of everything that decides how it is read.
        load: Reads and converts the document; raises ``SourceError`` when that fails.
        start: Begins to do so in the background, so that ``load`` waits less; None where that makes nothing faster.
    """

    path: str
    digest: str
    load: Callable[[], Document]
    start: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A document that could not be read.

    Attributes:
        path: The document's id, or the place where it should have been.
        reason: Why it could not be read, in one sentence for people.
        identified: Whether ``path`` is the document's id. False when the id itself could not be read, as with a broken
            line of JSON; ``path`` then only says where the document is, such as ``pages.jsonl:17``.
    """

    path: str
    reason: str
    identified: bool = True


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder of a source that is not read, and no failure either.

    Attributes:
        path: Its path in the source; that of a folder ends with a slash.
        reason: Why: a suffix such as ``.json``, or a word or two, such as ``hidden``.
    """

    path: str
    reason: str

    @property
    def is_expected(self) -> bool:
        """Whether it is no surprise that it is left out."""
        return self.reason in ("hidden", "ignored", "lock file", "docsim index")


Item = Document | Entry | Failure | LeftOut
"""What a source yields."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A contiguous part of one document, ``text[start:end]``; the unit that is embedded.

    Attributes:
        start: Offset of the first character.
        end: Offset one past the last character.
        heading: The headings above the passage, outermost first, joined by `` > ``; empty when there are none.
    """

    start: int
    end: int
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Ranking:
    """How to choose hits from the ranked documents. The defaults choose the best ones, in order.

    Attributes:
        offset: The number of hits to skip, from 0: with ``k`` 10, an offset of 10 gives the second page.
        diversity: Diversity (MMR), in [0, 1]: 0 ranks by relevance only; higher values demote hits similar to earlier
            ones.
        min_similarity: Leave out hits with a lower similarity, in [-1, 1]; fewer than ``k`` hits may come back.
        group_by: The name of a metadata field. Of the documents with the same value only the best is returned;
            documents without the field are not grouped.

    Raises:
        UsageError: A value is out of range.
    """

    offset: int = 0
    diversity: float = 0.0
    min_similarity: float | None = None
    group_by: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.offset, int) or not 0 <= self.offset <= MOST:
            raise UsageError(f"expected an offset that is a whole number from 0 to {MOST:,}, got {self.offset}")
        if not 0 <= self.diversity <= 1:
            raise UsageError(f"expected a diversity from 0 to 1, got {self.diversity}")
        if self.min_similarity is not None and not -1 <= self.min_similarity <= 1:
            raise UsageError(f"expected a minimum similarity from -1 to 1, got {self.min_similarity}")
        if self.group_by == "":
            raise UsageError("expected the name of a metadata field to group by, got an empty name")


@dataclass(frozen=True, slots=True)
class PassageHit:
    """One of the passages of a hit that are most similar to the query.

    Attributes:
        start: Offset of the first character in the document's text.
        end: Offset one past the last character.
        text: The passage, ``document.text[start:end]``.
        similarity: The highest similarity between this passage and a passage of the query, in [-1, 1].
        heading: The headings above the passage, outermost first, joined by `` > ``; empty when there are none.
        matches: Where the passage contains words of the question, or words with the same stems: pairs of offsets, of
            the first character and one past the last, in the document's text, in order and without overlap. Filled in
            by ``docsim.highlighted``.
    """

    start: int
    end: int
    text: str
    similarity: float
    heading: str = ""
    matches: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """One result: a document, its scores, and its best passages.

    Attributes:
        rank: 1 for the best hit; an offset does not change it.
        id: The document's id.
        title: The document's title.
        score: The number that hits are ranked by, before diversity. Compare it within one result only.
        similarity: The inner product of the best pair of query and document passages, in [-1, 1].
        percentile: How unusual that similarity is in this index, in [0, 100]: the percentage of random pairs that are
            less similar, each pair being a document of the index and a text as long as the query. None where there are
            no such pairs.
        metadata: The document's metadata.
        passages: The document's best passages, best first.
        stale: Whether its file was changed or removed since it was indexed, filled in by ``docsim.jobs.freshness``;
            None if neither, or if that is not known.
    """

    rank: int
    id: str
    title: str
    score: float
    similarity: float
    percentile: float | None
    metadata: Metadata
    passages: tuple[PassageHit, ...]
    stale: Stale | None = None


@dataclass(frozen=True, slots=True)
class Correction:
    """A word of a question that no document holds, and the one that was searched for instead.

    Attributes:
        given: The word as it was written.
        used: The word that documents hold, in small letters and without accents.
    """

    given: str
    used: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to one query.

    Attributes:
        query: The text that was searched for, or the id of the document that hits were to resemble.
        mode: How hits were ranked.
        generation: The number of the generation that answered.
        encoder: The fingerprint of the encoder in whose embedding space query and documents were compared.
        took_ms: Milliseconds from the call to the answer. For several queries that were asked together, the part that
            this one took.
        hits: Best first; fewer than asked for only when fewer documents qualify.
        adapter: Whether ``encoder`` is newer than the generation's own encoder, and the generation's embeddings were
            mapped into its space to answer at once (see ``docs/architecture.md``).
        operators: The parts of the question that were read as operators, such as ``"sick leave"`` or ``-draft``, as
            they were written; see ``docs/reference/queries.md``.
        corrections: The words that were searched for instead of others that no document holds.
        warnings: What is damaged in the index, a sentence each. The answer was found in spite of it; a document that is
            damaged itself is named here and left out of the hits.
        answerable: How likely it is that the index holds an answer, in [0, 1]. None if this is not estimated: for
            documents and long questions, on later pages, and in modes other than hybrid.
        nothing_here: Whether that is so unlikely that the index probably holds no answer.
    """

    query: str
    mode: Mode
    generation: int
    encoder: str
    took_ms: float
    hits: tuple[Hit, ...]
    adapter: bool = False
    operators: tuple[str, ...] = ()
    corrections: tuple[Correction, ...] = ()
    warnings: tuple[str, ...] = ()
    answerable: float | None = None
    nothing_here: bool = False


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one sync did, counted in documents.

    Attributes:
        added: Documents that are new.
        changed: Documents whose content is different from before.
        unchanged: Documents that are as they were.
        removed: Documents that are no longer in the source and were removed from the index.
        kept: Documents that are no longer in the source and were kept in the index, because pruning was off.
        failures: Documents that could not be read.
        left_out: Files and folders that were not read as documents, such as hidden ones and unknown formats.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    kept: int = 0
    failures: tuple[Failure, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the source holds no document, not even one that could not be read, and none was removed."""
        return not (self.added or self.changed or self.unchanged or self.removed or self.failures)


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How an encoder learns; None where the default depends on texts and tower.

    Attributes:
        tower: ``average``, ``lstm`` or ``transformer``; None for ``average``, or that of the encoder to start from.
        loss: ``softmax``, ``cosent``, ``mse`` or ``triplet``.
        temperature: Temperature of ``softmax``; for ``cosent``, the inverse of its scale.
        margin: Margin of ``triplet``, in cosines.
        matryoshka: Numbers of leading components that must work on their own.
        negatives: Where hard negatives come from: ``none``, ``bm25``, ``encoder`` or ``both``.
        steps: The maximum number of steps.
        batch_size: Pairs in a batch.
        learning_rate: Learning rate.
        embedding_rate: Learning rate of token vectors; None for that of the other weights.
        freeze: Whether token vectors stay as they are.
        unfreeze_at: Step from which on token vectors are trained.
        seed: Random seed.
        time_limit: Seconds after which training ends, with the best weights so far; None for no limit.
    """

    tower: str | None = None
    loss: str | None = None
    temperature: float | None = None
    margin: float = 0.2
    matryoshka: tuple[int, ...] = ()
    negatives: str = "none"
    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    embedding_rate: float | None = None
    freeze: bool = False
    unfreeze_at: int = 0
    seed: int = 0
    time_limit: float | None = None
