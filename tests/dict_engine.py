"""A second engine, of dictionaries and NumPy: what the seam asks for, in the plainest way.

It keeps everything in memory, compares every passage and every word, and shares no code with the local engine. Both
pass ``test_engine_conformance.py``, so that suite checks what the seam says and not what one engine happens to do.
"""

from __future__ import annotations

import copy
import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from filter_reference import meets, split
from numpy.typing import NDArray

from docsim.encoding.alignment import Alignment
from docsim.encoding.encoder import Encoder
from docsim.encoding.norms import are_unit
from docsim.engine.origins import notes_of
from docsim.engine.records import (
    Counts,
    Embedded,
    Embeddings,
    Generation,
    GenerationFacts,
    Holder,
    KnownWord,
    Neighbours,
    Numbers,
    Origin,
    QueryTerm,
    RecordedFailure,
    RecordedSource,
    RecordedVerdict,
    SearchFacts,
    Sizes,
    Soundness,
    SourceName,
    Stacked,
    StoredDocument,
    Unembedded,
)
from docsim.errors import IndexLocked, StoreError, UsageError
from docsim.filters.condition import Condition
from docsim.models import Document, Failure, Passage

NOW = "2026-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class Kept:
    """A document, its passages, and a version that changes with every change."""

    document: Document
    digest: str
    passages: tuple[Passage, ...]
    version: int


@dataclass(frozen=True)
class Mapped:
    """The live embeddings in the space of the generation that is built, until that is over."""

    generation: int
    source: str
    alignment: Alignment


@dataclass
class State:
    """Everything that an index holds; a transaction changes a copy, which then takes its place."""

    revision: int = 0
    documents: dict[int, Kept] = field(default_factory=dict)
    embeddings: dict[tuple[int, int], Embeddings] = field(default_factory=dict)  # by generation and document
    generations: dict[int, Generation] = field(default_factory=dict)
    encoders: dict[int, tuple[Encoder, Encoder | None]] = field(default_factory=dict)
    verdicts: dict[int, RecordedVerdict] = field(default_factory=dict)
    mapped: Mapped | None = None
    sources: dict[int, RecordedSource] = field(default_factory=dict)
    origins: dict[tuple[int, str], Origin] = field(default_factory=dict)
    failures: dict[tuple[int, str], RecordedFailure] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    last: int = 0  # number, version or moment that was given last

    def copied(self) -> State:
        return replace(self, **{name: copy.copy(value) for name, value in vars(self).items()})

    def next(self) -> int:
        self.last += 1
        return self.last

    def live(self) -> Generation | None:
        return next((one for one in self.generations.values() if one.state == "live"), None)


class Shared:
    """What all openings of one index share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = State()
        self.locks = {name: threading.Lock() for name in ("write", "rebuild", "train", "commit")}

    @contextmanager
    def held(self, name: str, *, wait: bool) -> Iterator[None]:
        if not self.locks[name].acquire(blocking=wait):
            raise IndexLocked("somebody else is at it")
        try:
            yield
        finally:
            self.locks[name].release()

    @contextmanager
    def changing(self, *, visible: bool = True) -> Iterator[State]:
        """One transaction: the copy counts only when the block has ended well."""
        with self.locks["commit"]:
            state = self.state.copied()
            yield state
            state.revision += visible
            self.state = state


def words_of(document: Document) -> list[str]:
    return split(f"{document.title}\n{document.text}")


@dataclass(frozen=True)
class Found:
    """The documents that hold at least one of some terms, and their scores; those with further terms are ``full``."""

    scores: dict[int, float]
    full: dict[int, float]

    def __len__(self) -> int:
        return len(self.scores)

    def best(self, n: int) -> Numbers:
        order = sorted(self.scores, key=lambda number: (-self.scores[number], number))
        return np.array(order[:n], np.int64)

    def of(self, documents: Numbers) -> NDArray[np.float32]:
        return np.array([self.full.get(int(number), 0.0) for number in documents], np.float32)


@dataclass(frozen=True)
class DictSnapshot:
    """One state of one generation."""

    state: State
    generation: Generation
    mapped: Mapped | None
    encoder: Encoder
    background: dict[int | str | None, NDArray[np.float32]]

    @property
    def revision(self) -> int:
        return self.state.revision

    @property
    def fingerprint(self) -> str:
        return self.encoder.fingerprint

    @property
    def dim(self) -> int:
        return self.encoder.dim

    @property
    def mapped_from(self) -> int | None:
        return len(self.mapped.alignment.landmarks) if self.mapped else None

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    def counts(self) -> Counts:
        return Counts(len(self.state.documents), sum(self.passage_counts().values()))

    def number(self, id: str) -> int | None:
        return next((number for number, one in self.state.documents.items() if one.document.id == id), None)

    def numbers(self, ids: Sequence[str]) -> dict[str, int]:
        return {id: number for id in ids if (number := self.number(id)) is not None}

    def documents(self, numbers: Sequence[int]) -> dict[int, StoredDocument]:
        return {
            number: stored(number, self.state.documents[number]) for number in numbers if number in self.state.documents
        }

    def scan(self, *, characters: int | None = None) -> Iterator[StoredDocument]:
        for number in sorted(self.state.documents):
            one = stored(number, self.state.documents[number])
            yield replace(one, document=replace(one.document, text=one.document.text[:characters]))

    def passages(self, numbers: Sequence[int]) -> dict[int, list[Passage]]:
        held = self.state.documents
        return {number: list(held[number].passages) for number in numbers if number in held}

    def passage_counts(self) -> dict[int, int]:
        return {number: len(self.state.documents[number].passages) for number in sorted(self.state.documents)}

    def metadata_values(self, field: str, numbers: Sequence[int]) -> dict[int, tuple[str, object]]:
        found: dict[int, tuple[str, object]] = {}
        for number in numbers:
            value = self.state.documents[number].document.metadata.get(field)
            kind = "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
            if value is not None:
                found[number] = (kind, repr(value) if isinstance(value, list | dict) else value)
        return found

    def sample(self, most: int) -> Numbers:
        order = sorted(self.state.documents, key=lambda number: number * 2654435761 % 2**32)
        return np.array(order[:most], np.int64)

    def excerpts(self, numbers: Sequence[int], characters: int) -> dict[int, tuple[str, str]]:
        found = {}
        for number in numbers:
            document = self.state.documents[number].document
            text = f"{document.title}\n{document.text}"
            start = number * 7919 % max(1, len(text) - characters)
            found[number] = (text[start : start + characters], text.lstrip()[:characters])
        return found

    def matching(self, where: Condition) -> int:
        return len(self._allowed(where))

    def _allowed(self, where: Condition | None) -> list[int]:
        held = self.state.documents
        return [number for number in sorted(held) if where is None or meets(where, held[number].document)]

    # Vectors

    def _rows(self, number: int) -> Embeddings | None:
        rows = self.state.embeddings.get((self.generation.number, number))
        return rows if rows is None or self.mapped is None else self.mapped.alignment.apply(rows).astype(np.float16)

    def embedded(self) -> Numbers:
        return np.array([number for number in sorted(self.state.documents) if self._rows(number) is not None], np.int64)

    def knn(
        self, queries: NDArray[np.float32], k: int, *, where: Condition | None = None, exact: bool = False
    ) -> Neighbours:
        allowed = [(number, rows) for number in self._allowed(where) if (rows := self._rows(number)) is not None]
        owners = np.array([number for number, rows in allowed for _ in rows], np.int64)
        stacked = np.concatenate([np.zeros((0, self.dim), np.float16), *(rows for _, rows in allowed)])
        similarities = queries @ stacked.astype(np.float32).T
        best = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
        return Neighbours(np.take_along_axis(similarities, best, 1), owners[best], k >= len(owners))

    def embeddings(self, numbers: Numbers) -> list[Embeddings]:
        found = [rows for number in numbers.tolist() if (rows := self._rows(number)) is not None]
        if len(found) < len(numbers):
            raise StoreError("embeddings are missing")
        return found

    def stacked(self, numbers: Numbers) -> Stacked:
        found = self.embeddings(numbers)
        counts = np.array([len(rows) for rows in found], np.int64)
        return Stacked(np.concatenate([np.zeros((0, self.dim), np.float16), *found]), counts)

    # Words

    def text_search(
        self, terms: Sequence[QueryTerm], *, rest: Sequence[QueryTerm] = (), where: Condition | None = None
    ) -> Found:
        """BM25 of each term, weighted and summed; a word in the title counts as one in the text."""
        texts = {number: words_of(one.document) for number, one in self.state.documents.items()}
        mean = sum(map(len, texts.values())) / max(1, len(texts))
        allowed, scores = set(self._allowed(where)), dict[int, float]()
        for term in terms:
            times = {number: occurrences(term, words) for number, words in texts.items()}
            holding = sum(count > 0 for count in times.values())
            idf = max(1e-6, math.log((len(texts) - holding + 0.5) / (holding + 0.5)))
            for number, count in times.items():
                if count and number in allowed:
                    norm = count + 1.2 * (0.25 + 0.75 * len(texts[number]) / mean)
                    scores[number] = scores.get(number, 0.0) + term.weight * idf * count * 2.2 / norm
        full = self.text_search([*terms, *rest], where=where).scores if rest else scores
        return Found(scores, full)

    def repeated_lines(self) -> frozenset[str]:
        kept = [note for key, note in self.state.notes.items() if key.startswith("repeated ")]
        return frozenset(line for note in kept for line in json.loads(note)["lines"])

    def holds(self, number: int, terms: Sequence[QueryTerm]) -> NDArray[np.bool_]:
        document = self.state.documents.get(number)
        words = words_of(document.document) if document else []
        return np.array([occurrences(term, words) > 0 for term in terms], np.bool_)

    def frequencies(self, terms: Sequence[QueryTerm], *, at_most: int | None = None) -> list[int]:
        texts = [words_of(one.document) for one in self.state.documents.values()]
        counts = [sum(occurrences(term, words) > 0 for words in texts) for term in terms]
        return [count if at_most is None else min(count, at_most) for count in counts]

    def stems(self, words: Sequence[str]) -> dict[str, str]:
        return {word: word.casefold() for word in words}

    def stem_frequencies(self, stems: Sequence[str]) -> dict[str, int]:
        counts = self.frequencies([QueryTerm((stem,)) for stem in stems])
        return {stem: count for stem, count in zip(stems, counts, strict=True) if count}

    def _known_words(self, where: Condition | None) -> Counter[str]:
        """In how many documents each word is."""
        held = self.state.documents
        return Counter(word for number in self._allowed(where) for word in set(words_of(held[number].document)))

    def words_like(self, word: str, *, edits: int, most: int, where: Condition | None = None) -> list[KnownWord]:
        found = [KnownWord(one, count, distance(one, word)) for one, count in self._known_words(where).items()]
        near = [one for one in found if one.edits <= edits]
        return sorted(near, key=lambda one: (one.edits, -one.documents, one.word))[:most]

    def words_beginning(self, beginning: str, *, most: int, where: Condition | None = None) -> list[KnownWord]:
        known = self._known_words(where).items()
        found = [KnownWord(one, count) for one, count in known if one.startswith(beginning)]
        return sorted(found, key=lambda one: (-one.documents, one.word))[:most]


def stored(number: int, one: Kept) -> StoredDocument:
    return StoredDocument(number, one.document, one.digest, len(one.passages))


def occurrences(term: QueryTerm, words: Sequence[str]) -> int:
    if term.beginning:
        return sum(word.startswith(term.words[0]) for word in words)
    if len(term.words) == 1:
        return words.count(term.words[0])
    asked = list(term.words)
    return sum(asked == list(words[i : i + len(asked)]) for i in range(len(words) - len(asked) + 1))


def distance(a: str, b: str) -> int:
    """Letters left out, added, changed, or swapped with a neighbour (optimal string alignment), by the book."""
    rows = [list(range(len(b) + 1))]
    for i in range(1, len(a) + 1):
        row = [i]
        for j in range(1, len(b) + 1):
            least = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                least = min(least, rows[-2][j - 2] + 1)
            row.append(least)
        rows.append(row)
    return rows[-1][-1]


class DictSources:
    """Which source holds which document under which path."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @property
    def _state(self) -> State:
        return self._shared.state

    def sources(self) -> list[RecordedSource]:
        counts = [source for source, _ in self._state.origins]
        return [replace(one, documents=counts.count(number)) for number, one in sorted(self._state.sources.items())]

    def failures(self) -> list[RecordedFailure]:
        return sorted(self._state.failures.values(), key=lambda one: one.path)

    def paths(self, source_number: int, *, most: int | None = None) -> list[str]:
        return [path for number, path in self._state.origins if number == source_number][:most]

    def origin(self, source_number: int, path: str) -> Origin | None:
        return self._state.origins.get((source_number, path))

    def holders(self, number: int) -> list[Holder]:
        return [
            Holder(source, path, self._state.sources[source].source, origin.digest, self._read(source, path))
            for (source, path), origin in self._state.origins.items()
            if origin.document_number == number
        ]

    def _read(self, source: int, path: str) -> str | None:
        known = self._state.sources[source]
        return known.started if known.finished and (source, path) not in self._state.failures else None

    def disputed(self) -> list[int]:
        digests: dict[int, set[str]] = {}
        for origin in self._state.origins.values():
            digests.setdefault(origin.document_number, set()).add(origin.digest)
        return sorted(number for number, found in digests.items() if len(found) > 1)

    def number(self, id: str) -> int | None:
        held = self._state.documents
        return next((number for number, one in held.items() if one.document.id == id), None)

    def id(self, number: int) -> str | None:
        return self._state.documents[number].document.id if number in self._state.documents else None

    def digest(self, number: int) -> str | None:
        return self._state.documents[number].digest if number in self._state.documents else None

    def read_from(self, file: Path) -> int | None:
        for (source, path), origin in self._state.origins.items():
            if self._state.sources[source].source.path_of(file) == path:
                return origin.document_number
        return None


class DictWriter(DictSources):
    """The one writer. Inside a transaction it sees what it has written."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._local = threading.local()

    @property
    def _state(self) -> State:
        return getattr(self._local, "state", None) or self._shared.state

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._shared.changing() as state:
            self._local.state = state
            try:
                yield
            finally:
                self._local.state = None

    def document(self, number: int) -> StoredDocument | None:
        one = self._state.documents.get(number)
        return None if one is None else stored(number, one)

    def passages(self, number: int) -> list[Passage]:
        return list(self._state.documents[number].passages)

    def note(self, key: str) -> str | None:
        return self._state.notes.get(key)

    def keep_note(self, key: str, text: str) -> None:
        self._state.notes[key] = text

    def open_source(self, source_number: int | None, source: SourceName) -> int:
        number = source_number or self._state.next()
        self._state.sources[number] = RecordedSource(number, source, 0, NOW, None)
        return number

    def close_source(self, source_number: int, failures: Iterable[Failure]) -> None:
        number = source_number
        known = self._state.sources[number]
        for key in [key for key in self._state.failures if key[0] == number]:
            del self._state.failures[key]
        for one in failures:
            self._state.failures[number, one.path] = RecordedFailure(known.source.location, one.path, one.reason, NOW)
        self._state.sources[number] = replace(known, finished=NOW)

    def forget_source(self, source_number: int) -> int:
        removed = sum(self.unlink(source_number, path) for path in self.paths(source_number))
        for key in [key for key in self._state.failures if key[0] == source_number]:
            del self._state.failures[key]
        for name in notes_of(source_number):
            self._state.notes.pop(name, None)
        del self._state.sources[source_number]
        return removed

    def put(self, embedded: Embedded, *, number: int | None) -> int:
        state, live = self._state, self._state.live()
        assert live is not None
        number = number or state.next()
        self._forget_embeddings(number)
        document = embedded.document
        state.documents[number] = Kept(document, document.digest(), embedded.passages, state.next())
        state.embeddings[live.number, number] = embedded.vectors
        return number

    def _forget_embeddings(self, number: int) -> None:
        for key in [key for key in self._state.embeddings if key[1] == number]:
            del self._state.embeddings[key]

    def remove(self, number: int) -> None:
        self._forget_embeddings(number)
        for key in [key for key, origin in self._state.origins.items() if origin.document_number == number]:
            del self._state.origins[key]
        del self._state.documents[number]

    def link(self, source_number: int, path: str, *, document_number: int, digest: str) -> None:
        before = self.origin(source_number, path)
        self._state.origins[source_number, path] = Origin(document_number, digest)
        self._state.failures.pop((source_number, path), None)
        if before is not None and before.document_number != document_number:
            self._release(before.document_number)

    def claim(self, source_number: int, path: str, *, document_number: int, digest: str) -> None:
        for one in self.holders(document_number):
            if (one.source_number, one.path) != (source_number, path) and one.digest != digest:
                del self._state.origins[one.source_number, one.path]

    def unlink(self, source_number: int, path: str) -> bool:
        origin = self._state.origins.pop((source_number, path), None)
        return origin is not None and self._release(origin.document_number)

    def _release(self, number: int) -> bool:
        if self.holders(number):
            return False
        self.remove(number)
        return True

    def configure(self, index_type: str | None, recall: float | None) -> None:
        if index_type not in (None, "auto", "flat"):
            raise UsageError(f"expected auto or flat, got {index_type}")

    def optimize(self) -> None:
        pass


class DictRebuilder:
    """The one process that changes generations."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @property
    def _state(self) -> State:
        return self._shared.state

    def live(self) -> Generation:
        live = self._state.live()
        if live is None:
            raise StoreError("the index was never finished")
        return live

    def generations(self, state: str | None = None) -> list[Generation]:
        return [one for _, one in sorted(self._state.generations.items()) if state in (None, one.state)]

    def encoder(self, generation: Generation) -> Encoder:
        return self._state.encoders[generation.number][0]

    def check_encoder(self, generation: Generation) -> None:
        pass

    def restore_encoder(self, generation: Generation, encoder: Encoder) -> None:
        pass

    def begin(self, encoder: Encoder, *, base: Encoder | None = None) -> Generation:
        with self._shared.changing(visible=False) as state:
            return begin(state, encoder, base=base, live=False)

    def resume(self, number: int) -> None:
        self._set_state(number, "building")

    def _set_state(self, number: int, to: str) -> None:
        with self._shared.changing(visible=False) as state:
            state.generations[number] = replace(state.generations[number], state=to)

    def _lacking(self, number: int) -> list[int]:
        state = self._state
        return [document for document in sorted(state.documents) if (number, document) not in state.embeddings]

    def missing(self, number: int) -> int:
        return len(self._lacking(number))

    @contextmanager
    def unembedded(self, number: int, *, after: int = 0) -> Iterator[Iterator[Unembedded]]:
        held = self._state.documents
        yield (
            Unembedded(one, replace(held[one].document, metadata={}), held[one].passages, held[one].version)
            for one in self._lacking(number)
            if one > after
        )

    def embed(self, number: int, embedded: Sequence[tuple[Unembedded, Embeddings]]) -> None:
        with self._shared.changing(visible=False) as state:
            for one, rows in embedded:
                if one.number in state.documents and state.documents[one.number].version == one.version:
                    state.embeddings[number, one.number] = rows

    def optimize(self, number: int) -> None:
        pass

    def settle(self) -> None:
        pass

    def record(self, number: int, verdict: RecordedVerdict) -> None:
        with self._shared.changing(visible=False) as state:
            state.verdicts[number] = verdict

    def publish(self, number: int, catch_up: Callable[[], int]) -> int:
        with self._shared.held("write", wait=True):
            embedded = catch_up() if self._lacking(number) else 0
            if self._lacking(number):
                raise StoreError(f"generation {number} lacks a document")
            with self._shared.changing() as state:
                for one in list(state.generations.values()):
                    if one.state == "live":
                        state.generations[one.number] = replace(one, state="retired")
                moment = f"{state.next():012}"
                state.generations[number] = replace(state.generations[number], state="live", published=moment)
                state.mapped = None
            return embedded

    def drop(self, number: int) -> bool:
        self.unmap(number)
        if self._state.generations[number].published is not None:
            self._set_state(number, "retired")
            return True
        self.remove([number])
        return False

    def remove(self, numbers: Iterable[int], *, wait: bool = False) -> int:
        with self._shared.held("write", wait=wait), self._shared.changing(visible=False) as state:
            for number in numbers:
                del state.generations[number], state.encoders[number]
                state.embeddings = {key: rows for key, rows in state.embeddings.items() if key[0] != number}
        return 0

    def map_live(self, number: int, alignment: Alignment) -> None:
        with self._shared.changing() as state:
            state.mapped = Mapped(number, self.live().fingerprint, alignment)

    def alignment(self, number: int) -> Alignment | None:
        mapped = self._state.mapped
        return mapped.alignment if mapped and mapped.generation == number else None

    def unmap(self, number: int) -> bool:
        if self._state.mapped is None or self._state.mapped.generation != number:
            return False
        with self._shared.changing() as state:
            state.mapped = None
        return True


def begin(state: State, encoder: Encoder, *, base: Encoder | None, live: bool) -> Generation:
    number = state.next()
    moment = f"{state.next():012}" if live else None
    kind = "live" if live else "building"
    state.generations[number] = Generation(number, kind, encoder.fingerprint, encoder.name, encoder.dim, NOW, moment)
    state.encoders[number] = (encoder, base)
    return state.generations[number]


class DictEngine:
    """An index in memory. ``at`` opens the same one again."""

    def __init__(self, shared: Shared, *, pinned: int | None = None) -> None:
        self._shared, self._pinned = shared, pinned
        self._background: tuple[int, str, dict[int | str | None, NDArray[np.float32]]] = (-1, "", {})

    @classmethod
    def create(cls, folder: Path, encoder: Encoder) -> DictEngine:
        shared = Shared(folder)
        with shared.changing() as state:
            begin(state, encoder, base=None, live=True)
        return cls(shared)

    @property
    def address(self) -> str:
        return str(self._shared.folder)

    @property
    def folder(self) -> Path:
        return self._shared.folder

    @property
    def encoder(self) -> Encoder:
        return self._shared.state.encoders[self.generation().number][0]

    def close(self) -> None:
        pass

    def at(self, generation: int) -> DictEngine:
        return DictEngine(self._shared, pinned=generation)

    def generation(self) -> Generation:
        return self._of(self._shared.state)

    def _of(self, state: State) -> Generation:
        found = state.generations.get(self._pinned) if self._pinned else state.live()
        if found is None:
            raise StoreError("there is no such generation")
        return found

    def prepare(self) -> None:
        pass

    @contextmanager
    def snapshot(self, *, encoder: bool = False) -> Iterator[DictSnapshot]:
        state = self._shared.state
        generation = self._of(state)
        mapped = None if self._pinned else state.mapped
        answering = state.encoders[mapped.generation if mapped else generation.number][0]
        if self._background[:2] != (state.revision, answering.fingerprint):
            self._background = (state.revision, answering.fingerprint, {})
        yield DictSnapshot(state, generation, mapped, answering, self._background[2])

    def sources(self) -> DictSources:
        return DictSources(self._shared)

    @contextmanager
    def writer(self, *, wait: bool) -> Iterator[DictWriter]:
        with self._shared.held("write", wait=wait):
            yield DictWriter(self._shared)

    @contextmanager
    def rebuilder(self, *, wait: bool) -> Iterator[DictRebuilder]:
        with self._shared.held("rebuild", wait=wait):
            yield DictRebuilder(self._shared)

    @contextmanager
    def training(self, *, wait: bool) -> Iterator[None]:
        with self._shared.held("train", wait=wait):
            yield

    def is_rebuilding(self) -> bool:
        return self._shared.locks["rebuild"].locked()

    def encoder_directory(self, number: int) -> Path:
        return self._shared.state.encoders[number][0].path

    def base_directory(self, number: int) -> Path:
        encoder, base = self._shared.state.encoders[number]
        return (base or encoder).path

    def report_directory(self, number: int) -> Path:
        return self._shared.folder / f"report-{number}"

    def workspace(self) -> Path:
        return self._shared.folder / "workspace"

    def note(self, key: str) -> str | None:
        return self._shared.state.notes.get(key)

    def keep_note(self, key: str, text: str) -> None:
        with self._shared.changing(visible=False) as state:
            state.notes[key] = text

    def notes(self) -> dict[str, str]:
        return dict(self._shared.state.notes)

    def generations(self) -> list[GenerationFacts]:
        state = self._shared.state
        return [
            GenerationFacts(
                one,
                sum(generation == number for generation, _ in state.embeddings),
                0,
                state.verdicts.get(number),
                state.mapped is not None and state.mapped.generation == number,
            )
            for number, one in sorted(state.generations.items())
        ]

    def search_facts(self) -> SearchFacts:
        return SearchFacts("flat", None, 1.0, 1.0, None, [])

    def sizes(self) -> Sizes:
        return Sizes(0, 0, 0)

    def soundness(self) -> Soundness:
        state, number = self._shared.state, self.generation().number
        lacking = [one for one in state.documents if (number, one) not in state.embeddings]
        wrong = [one for (held, one), rows in state.embeddings.items() if held == number and not are_unit(rows)]
        return Soundness(len(state.documents), len(lacking), 0, tuple(wrong))

    def problems(self) -> list[str]:
        return []

    def repair(self, *, index_type: str | None = None, recall: float | None = None, wait: bool = False) -> list[str]:
        return []
