"""Checks: compares the tables of an index with one another, and reports everything that is wrong."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.norms import are_unit
from docsim.engine.postgres import mappings, vectors, word_storage
from docsim.engine.postgres.schema import embeddings_table, mapped_table
from docsim.engine.postgres.store import State, Store
from docsim.engine.records import DISTRUSTED, Generation, Soundness, StoredDocument
from docsim.engine.stored_documents import is_covered, is_sound
from docsim.errors import DocsimError, StoreError

__all__ = ["badly_split", "damaged", "dangling", "each", "of_generation", "problems", "soundness"]

_AT_A_TIME = 2_000
_ROUNDING = 2e-3  # the largest difference between two float16 roundings of a mapped component

_WRONG = {
    "texts of no document": "texts t WHERE NOT EXISTS (SELECT 1 FROM documents WHERE number = t.document)",
    "documents without a text": "documents d WHERE NOT EXISTS (SELECT 1 FROM texts WHERE document = d.number)",
    "embeddings of no document": "embedded e WHERE NOT EXISTS (SELECT 1 FROM documents WHERE number = e.document)",
    "origins of no document": "origins o WHERE NOT EXISTS (SELECT 1 FROM documents WHERE number = o.document)",
    "documents of no source": "documents d WHERE NOT EXISTS (SELECT 1 FROM origins WHERE document = d.number)",
    "documents whose passages do not match their count": (
        "documents WHERE passages <> cardinality(starts) OR passages <> cardinality(ends)"
        " OR passages <> cardinality(headings)"
    ),
    "documents whose key is not that of their id": "documents WHERE octet_length(key) <> 16",
}
"""What can be wrong, and the rows where it is."""


def problems(store: Store, state: State) -> list[str]:
    """Return what is wrong with the tables of an index, a sentence each."""
    found = []
    for name, rows in _WRONG.items():
        if count := store.value(f"SELECT count(*) FROM {rows}"):
            found.append(f"{count} {name}")
    found += [*_counts(store, state), *_documents(store)]
    for generation in store.generations():
        found += of_generation(store, generation)
    if state.generation is not None and not damaged(store, state.generation):
        found += _mapping(store, state)
    return [*found, *word_storage.damage(store)]


def _counts(store: Store, state: State) -> Iterator[str]:
    documents, passages = store.rows("SELECT count(*), coalesce(sum(passages), 0) FROM documents")[0]
    if (documents, passages) != (state.documents, state.passages):
        yield (
            f"the index says that it has {state.documents} documents and {state.passages} passages, and has "
            f"{documents} and {passages}; repair the index"
        )


def _documents(store: Store) -> Iterator[str]:
    """Check every document against its digest, its passages against its text, and its sources against each other."""
    again, lines = "repair the index, then index its source again", store.repeated_lines()
    for stored in each(store):
        if isinstance(stored, int) or not is_sound(stored):
            number = stored if isinstance(stored, int) else stored.number
            yield f"the text of {_id(store, number)} is not what was stored, or its title or metadata; {again}"
        elif not is_covered(stored, store.passages_of([stored.number])[stored.number], lines):
            yield f"the passages of {stored.document.id} leave out some of its text; repair the index"
    digests = (
        "SELECT document FROM origins WHERE digest <> %s GROUP BY document HAVING min(digest) <> max(digest)"
        " ORDER BY document"
    )
    for (number,) in store.rows(digests, DISTRUSTED):
        yield f"{_id(store, number)} stands for files that read differently; index their sources again"


def each(store: Store) -> Iterator[StoredDocument | int]:
    """Yield every document, or its number where it cannot be read."""
    for (number,) in store.rows("SELECT number FROM documents ORDER BY number"):
        try:
            found = store.documents([number])
        except StoreError:
            yield number
        else:
            yield found.get(number, number)


def _id(store: Store, number: int) -> str:
    return str(store.value("SELECT id FROM documents WHERE number = %s", number) or f"document number {number}")


def soundness(store: Store, generation: Generation) -> Soundness:
    """Check the stored embeddings of a generation; a live one should have those of every document."""
    documents = int(store.value("SELECT count(*) FROM documents"))
    lacking = len(store.lacking(generation.number))
    early = lacking if generation.state == "live" else 0
    return Soundness(documents, lacking, early, tuple(damaged(store, generation)))


def of_generation(store: Store, generation: Generation) -> Iterator[str]:
    """Check a generation's embeddings; yield one sentence per problem."""
    where = "" if generation.state == "live" else f" in generation {generation.number}"
    for number in damaged(store, generation):
        yield f"the embeddings of {_id(store, number)}{where} are missing or damaged"
    table = embeddings_table(generation.number)
    sql = f"SELECT count(*) FROM {table} t WHERE NOT EXISTS (SELECT 1 FROM documents WHERE number = t.document)"
    if count := store.value(sql):
        yield f"{count} embeddings of no document{where}"


def damaged(store: Store, generation: Generation) -> list[int]:
    """Return the documents whose embeddings are altered, of the wrong shape, not finite or not of unit norm.

    Documents without embeddings are included if the generation is live; other generations may be incomplete.
    """
    sql = (
        "SELECT d.number, d.first_passage, d.passages, e.checksum FROM documents d"
        f" {'LEFT ' if generation.state == 'live' else ''}JOIN embedded e"
        " ON e.document = d.number AND e.generation = %s ORDER BY d.number"
    )
    rows, table = store.rows(sql, generation.number), embeddings_table(generation.number)
    found: list[int] = []
    for start in range(0, len(rows), _AT_A_TIME):
        some = rows[start : start + _AT_A_TIME]
        numbers = np.array([number for number, *_ in some], np.int64)
        owners, held = vectors.fetched(store, table, numbers, dim=generation.dim)
        passages = store.rows(
            f"SELECT passage FROM {table} WHERE document = ANY(%s::bigint[]) ORDER BY document, passage",
            numbers.tolist(),
        )
        places = np.fromiter(itertools.chain.from_iterable(passages), np.int64)
        starts, ends = np.searchsorted(owners, numbers), np.searchsorted(owners, numbers, side="right")
        for (number, first, count, kept), low, high in zip(some, starts.tolist(), ends.tolist(), strict=True):
            if not _is_sound(held[low:high], places[low:high], first, count, kept):
                found.append(number)
    return found


def _is_sound(
    rows: NDArray[np.float16], places: NDArray[np.int64], first: int, count: int, checksum: int | None
) -> bool:
    in_order = np.array_equal(places, np.arange(first, first + count))
    return in_order and vectors.checksum(rows) == checksum and are_unit(rows)


def _mapping(store: Store, state: State) -> Iterator[str]:
    """Check the alignment of the generation that is being built, and the embeddings mapped by it."""
    mapped, live = state.mapped, state.generation
    if mapped is None or live is None:
        return
    again = "start the instant upgrade again"
    try:
        counting = mappings.counting(store)
    except DocsimError as error:
        yield f"{error}; {again}"
        return
    numbers = np.array([n for (n,) in store.rows("SELECT number FROM documents ORDER BY number")], np.int64)
    for start in range(0, len(numbers) if counting else 0, _AT_A_TIME):
        some = numbers[start : start + _AT_A_TIME]
        owners, rows = vectors.fetched(store, embeddings_table(live.number), some, dim=live.dim)
        others, held = vectors.fetched(store, mapped_table(mapped.generation), some, dim=mapped.dim)
        assert counting is not None
        if not np.array_equal(owners, others) or not np.allclose(counting[1].apply(rows), held, atol=_ROUNDING):
            yield f"the embeddings mapped for generation {mapped.generation} disagree with the stored ones; {again}"
            return


def badly_split(store: Store) -> Iterator[int]:
    """Yield the numbers of the documents whose passages are not those of their text."""
    lines = store.repeated_lines()
    for stored in each(store):
        if isinstance(stored, StoredDocument):
            spans = store.passages_of([stored.number])[stored.number]
            if stored.passages != len(spans) or not is_covered(stored, spans, lines):
                yield stored.number


def dangling(store: Store) -> list[int]:
    """Return the numbers of documents that sources have and the index has lost."""
    sql = "SELECT DISTINCT document FROM origins WHERE document NOT IN (SELECT number FROM documents)"
    return [number for (number,) in store.rows(sql)]
