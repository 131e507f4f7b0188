"""Checks of documents: whether each is what its source held, and whether its passages cover its text."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

from docsim.engine.local.store import Store
from docsim.engine.records import DISTRUSTED, StoredDocument
from docsim.engine.stored_documents import is_covered, is_sound
from docsim.errors import StoreError

__all__ = ["MISMATCHED", "badly_split", "dangling", "each", "id_of", "problems", "repeated_lines"]

MISMATCHED = {
    "documents whose passages do not match their count": (
        "documents d WHERE d.passages <> (SELECT count(*) FROM passages p WHERE p.document = d.number"
        " AND p.number BETWEEN d.first_passage AND d.first_passage + d.passages - 1)"
    ),
    "documents whose passages reach beyond their text": (  # length() reads the whole text, so call it once per document
        'documents d WHERE (SELECT max(p."end") FROM passages p WHERE p.document = d.number) > length(d.text)'
        ' OR EXISTS (SELECT 1 FROM passages p WHERE p.document = d.number AND (p.start < 0 OR p."end" < p.start))'
    ),
    "deleted passages that still exist": (
        "passages p JOIN deletions x ON p.number BETWEEN x.first_passage AND x.first_passage + x.passages - 1"
        " LEFT JOIN documents d ON d.number = p.document"
    ),
}
"""What can be wrong with the passages of documents, and the rows ``d`` where it is."""


def problems(store: Store) -> Iterator[str]:
    """Check every document against its digest, its passages against its text, and its sources against each other."""
    again, lines = "repair the index, then index its source again", repeated_lines(store)
    for number, stored in each(store):
        if not is_sound(stored):
            yield f"the text of {id_of(store, number)} is not what was stored, or its title or metadata; {again}"
        elif not _is_covered(store, stored, lines):
            yield f"the passages of {id_of(store, number)} leave out some of its text; repair the index"
    for number in store.disputed():
        digests = {one.digest for one in store.holders(number) if not one.source.is_gone}
        if len(digests - {DISTRUSTED}) > 1:
            held = f"{id_of(store, number)} stands for files that read differently"
            yield f"{held}; index their sources again"


def each(store: Store) -> Iterator[tuple[int, StoredDocument | None]]:
    """Yield every document with its number, None where it cannot be read."""
    for (number,) in store.rows("SELECT number FROM documents ORDER BY number"):
        try:
            yield number, store.document(number)
        except StoreError:
            yield number, None


def id_of(store: Store, number: int) -> str:
    """Return a document's id, or its number where the id cannot be read."""
    try:
        return str(store.value("SELECT id FROM documents WHERE number = ?", number))
    except StoreError:
        return f"document number {number}"


def repeated_lines(store: Store) -> frozenset[str]:
    """Return the lines that passages leave out, as the sources of the documents repeat them."""
    notes = store.rows("SELECT value FROM meta WHERE key LIKE 'repeated %'")
    return frozenset(line for (note,) in notes for line in json.loads(note)["lines"])


def _is_covered(store: Store, stored: StoredDocument | None, lines: Collection[str]) -> bool:
    return stored is None or is_covered(stored, store.passages(stored.number), lines)


def badly_split(store: Store) -> Iterator[int]:
    """Yield the numbers of the documents whose passages are not those of their text."""
    for rows in MISMATCHED.values():
        yield from (number for (number,) in store.rows(f"SELECT d.number FROM {rows}") if number is not None)
    lines = repeated_lines(store)
    yield from (number for number, stored in each(store) if not _is_covered(store, stored, lines))


def dangling(store: Store) -> list[int]:
    """Return the numbers of documents that sources have and the index has lost."""
    sql = "SELECT DISTINCT document FROM origins WHERE document NOT IN (SELECT number FROM documents)"
    return [number for (number,) in store.rows(sql)]
