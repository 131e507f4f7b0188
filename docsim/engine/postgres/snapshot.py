"""A snapshot: one committed state, read in one ``REPEATABLE READ, READ ONLY`` transaction."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.engine.common_snapshot import CommonSnapshot
from docsim.engine.postgres import approximate, filter_sql, vectors, word_storage
from docsim.engine.postgres.schema import embeddings_table, mapped_table
from docsim.engine.postgres.store import State, Store
from docsim.engine.records import (
    Counts,
    Embeddings,
    Generation,
    Neighbours,
    Numbers,
    Stacked,
)
from docsim.engine.words import phrases
from docsim.engine.words.index import WordIndex
from docsim.errors import StoreError
from docsim.filters.condition import Condition, Holds

__all__ = ["Known", "PostgresSnapshot"]

MAX_FILTERS = 16
"""The number of filters whose matching documents are remembered of a state."""

_LONGEST_WORD = 64
_STEP = 2654435761  # a prime: where in its text a document is cut


@dataclass(slots=True)
class Known:
    """What was found out about one committed state, for later queries; shared by its snapshots.

    Attributes:
        earlier_words: The words of an earlier state, to build on.
        words: The words of the documents; None until needed.
        background: What search noted.
        allowed: The documents that meet each filter.
        approximate: The approximate index; None if there is none, or nobody has looked.
        has_looked: Whether somebody has.
        lock: Held while the words are put together.
    """

    earlier_words: WordIndex | None = None
    words: WordIndex | None = None
    background: dict[int | str | None, NDArray[np.float32]] = field(default_factory=dict)
    allowed: dict[Condition, Numbers] = field(default_factory=dict)
    approximate: approximate.Built | None = None
    has_looked: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class PostgresSnapshot(CommonSnapshot):
    """A ``docsim.engine.base.Snapshot``; to be used inside the block of ``Engine.snapshot`` only.

    Attributes:
        store: Reads in a transaction that sees the state.
        state: The state.
        generation: The generation that is searched.
        known: What was found out about the state.
        load_encoder: Gives the encoder in whose space the embeddings are.
    """

    store: Store
    state: State
    generation: Generation
    known: Known
    load_encoder: Callable[[], Encoder]

    @property
    def revision(self) -> int:
        """The state's number."""
        return self.state.revision

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the encoder in whose space the embeddings are."""
        return self.state.mapped.fingerprint if self.state.mapped else self.generation.fingerprint

    @property
    def dim(self) -> int:
        """Components of an embedding."""
        return self.state.mapped.dim if self.state.mapped else self.generation.dim

    @property
    def mapped_from(self) -> int | None:
        """How many passages the alignment was learned from that maps the embeddings; None when they are not mapped."""
        return self.state.mapped.passages if self.state.mapped else None

    @property
    def encoder(self) -> Encoder:
        """The encoder in whose space the embeddings are.

        Raises:
            EncoderError: It is missing, damaged or not the one that made the embeddings.
        """
        return self.load_encoder()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Nothing: the database reports damage as errors."""
        return ()

    @property
    def background(self) -> dict[int | str | None, NDArray[np.float32]]:
        """What search noted of this state."""
        return self.known.background

    # Documents

    def counts(self) -> Counts:
        """Return how many documents and passages there are."""
        return Counts(self.state.documents, self.state.passages)

    def number(self, id: str) -> int | None:
        """Return the number of the document with this id, or None."""
        return self.store.numbers([id]).get(id)

    def metadata_values(self, field: str, numbers: Sequence[int]) -> dict[int, tuple[str, object]]:
        """Return kind and value of a metadata field of some documents, by number."""
        sql = "SELECT number, metadata FROM documents WHERE number = ANY(%s::bigint[])"
        rows = self.store.rows(sql, [int(one) for one in numbers])
        held = {number: json.loads(metadata).get(field) for number, metadata in rows}
        return {number: _kind(value) for number, value in held.items() if value is not None}

    def excerpts(self, numbers: Sequence[int], characters: int) -> dict[int, tuple[str, str]]:
        """Return a piece from somewhere in each document, and its beginning."""
        window = characters + _LONGEST_WORD
        sql = (
            "SELECT number, substr(whole, 1 + ((number * %s) %% greatest(1, length(text) - %s))::integer, %s),"
            " substr(ltrim(whole, E'\\t\\n\\r '), 1, %s) FROM (SELECT number, text, title || E'\\n' || text AS whole"
            " FROM documents JOIN texts ON document = number WHERE number = ANY(%s::bigint[])) AS found"
        )
        rows = self.store.rows(sql, _STEP, window, window, window, [int(one) for one in numbers])
        if len(rows) < len(set(numbers)):
            raise self._damaged()
        return {number: (somewhere, beginning) for number, somewhere, beginning in rows}

    def sample(self, most: int) -> Numbers:
        """Return up to ``most`` documents from all over the index."""
        sql = (
            "SELECT document FROM embedded WHERE generation = %s"
            " ORDER BY (document * 2654435761) %% 4294967296, document LIMIT %s"
        )
        return _numbers(self.store.rows(sql, self.generation.number, most))

    def _meeting(self, where: Condition) -> Numbers:
        """Return the documents that meet a condition, by ascending number."""
        found = self.known.allowed.get(where)
        if found is None:
            expression = filter_sql.compiled(where, self._holding)
            sql = f"SELECT number FROM documents WHERE {expression.sql} ORDER BY number"
            found = _numbers(self.store.rows(sql, *expression.parameters))
            if len(self.known.allowed) >= MAX_FILTERS:
                self.known.allowed.clear()
            self.known.allowed[where] = found
        return found

    def _holding(self, held: Holds) -> list[int]:
        words = self._words
        numbers: list[int] = words.numbers[phrases.slots(words, held)].tolist()
        return numbers

    def _allowed_numbers(self, where: Condition | None) -> Numbers | None:
        return None if where is None else self._meeting(where)

    # Vectors

    @property
    def _table(self) -> str:
        mapped = self.state.mapped
        return mapped_table(mapped.generation) if mapped else embeddings_table(self.generation.number)

    def embedded(self) -> Numbers:
        """Return the documents that have embeddings here, by ascending number."""
        sql = "SELECT document FROM embedded WHERE generation = %s ORDER BY document"
        return _numbers(self.store.rows(sql, self.generation.number))

    def knn(
        self, queries: NDArray[np.float32], k: int, *, where: Condition | None = None, exact: bool = False
    ) -> Neighbours:
        """Return the documents of the ``k`` passages nearest to each query."""
        allowed = self._allowed_numbers(where)
        found = None if exact else self._proposed(queries, k, allowed)
        if found is None:
            found = self._compared(queries, k, allowed)
        exhausted = all(len(rows) <= k for rows in found)
        size = min(k, min(map(len, found), default=0))
        taken = np.array([rows[:size] for rows in found], np.float64).reshape(len(queries), size, 2)
        return Neighbours(-taken[:, :, 1].astype(np.float32), taken[:, :, 0].astype(np.int64), exhausted)

    def _compared(self, queries: NDArray[np.float32], k: int, allowed: Numbers | None) -> list[list[tuple[Any, ...]]]:
        """Return the ``k + 1`` nearest passages of each query; ``+ 0`` keeps the server from an approximate index."""
        filtered = "" if allowed is None else "WHERE document = ANY(%s::bigint[])"
        sql = (
            f"SELECT document, (embedding <#> %s::halfvec) + 0 AS distance FROM {self._table} {filtered}"
            " ORDER BY distance LIMIT %s"
        )
        parameters: tuple[Any, ...] = () if allowed is None else (allowed.tolist(),)
        return [self.store.rows(sql, vectors.literal(query), *parameters, k + 1) for query in queries]

    def _proposed(
        self, queries: NDArray[np.float32], k: int, allowed: Numbers | None
    ) -> list[list[tuple[Any, ...]]] | None:
        known = self.known
        if not known.has_looked:
            known.approximate, known.has_looked = approximate.built(self.store, self.generation.number), True
        if known.approximate is None or self.state.mapped is not None:
            return None
        return approximate.proposed(
            self.store,
            self._table,
            queries,
            k,
            index=known.approximate,
            allowed=allowed,
            documents=self.state.documents,
        )

    def embeddings(self, numbers: Numbers) -> list[Embeddings]:
        """Return the embeddings of some documents, ``float16 (passages, dim)`` each.

        Raises:
            StoreError: Embeddings are missing.
        """
        found = self.stacked(numbers)
        rows: list[Embeddings] = np.split(found.rows, np.cumsum(found.counts)[:-1]) if len(numbers) else []
        return rows

    def stacked(self, numbers: Numbers) -> Stacked:
        """Return the embeddings of some documents as one array.

        Raises:
            StoreError: Embeddings are missing.
        """
        owners, rows = vectors.fetched(self.store, self._table, numbers, dim=self.dim)
        starts, ends = (np.searchsorted(owners, numbers, side=side) for side in ("left", "right"))
        counts = ends - starts
        if not counts.all():
            raise self._damaged()
        if len(rows) == counts.sum() and (np.diff(numbers) > 0).all():
            return Stacked(rows, counts)
        places = np.arange(int(counts.sum())) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
        return Stacked(rows[places], counts)

    def _damaged(self) -> StoreError:
        return StoreError(
            "stored embeddings are missing or damaged; verify the index to see what else is, then repair it",
            hint="docsim verify, then docsim repair",
        )

    # Words

    @property
    def _words(self) -> WordIndex:
        known = self.known
        with known.lock:
            if known.words is None:
                known.words = word_storage.refreshed(self.store, self.state, known.earlier_words)
                known.earlier_words = None
            return known.words

    def repeated_lines(self) -> frozenset[str]:
        """Return the lines that passages leave out, because most pages of a source repeat them."""
        return self.store.repeated_lines()


def _numbers(rows: Sequence[tuple[Any, ...]]) -> Numbers:
    return np.fromiter((number for (number,) in rows), np.int64, len(rows))


def _kind(value: Any) -> tuple[str, object]:
    """Return what kind of value a field holds, and the value in a form that can be compared."""
    match value:
        case bool():
            return "boolean", value
        case int() | float():
            return "number", value
        case str():
            return "text", value
        case _:
            return ("array" if isinstance(value, list) else "object"), json.dumps(value, sort_keys=True)
