"""What a writer knows of paths and ids without asking is never out of date, whatever is committed meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from docsim import Encoder
from docsim.engine import lookups
from docsim.engine.lookups import Lookups, key_of
from docsim.engine.records import Origin
from docsim.errors import StoreError
from docsim.files import INDEX_FILE
from docsim.ingest.sources import open_source
from docsim.jobs.sync import sync


class Tables:
    """The committed tables of an index with one source, 1: paths are ids."""

    def __init__(self, ids: int) -> None:
        self.numbers = {f"id{number}": number for number in range(1, ids + 1)}
        self.while_read: Callable[[], None] = lambda: None
        self.reads = 0

    def last_document(self) -> int:
        return max(self.numbers.values(), default=0)

    def size_of(self, source: int) -> int:
        return len(self.numbers)

    def origins_of(self, source: int, most: int) -> Iterator[tuple[bytes, Origin]]:
        for key, number in self.numbers_by_key(most):
            yield key, Origin(number, "digest")

    def numbers_by_key(self, most: int) -> Iterator[tuple[bytes, int]]:
        self.reads += 1
        seen = list(self.numbers.items())[:most]
        self.while_read()
        for id, number in seen:
            yield key_of(id), number


def asked(known: Lookups) -> list[dict[bytes, int] | None]:
    """Return what is known of the ids and of the paths of the source."""
    numbers, paths = known.numbers(), known.origins(1)
    return [numbers, None if paths is None else {path: one.document_number for path, one in paths.items()}]


def by_key(tables: Tables) -> dict[bytes, int]:
    return {key_of(id): number for id, number in tables.numbers.items()}


def test_what_is_added_or_removed_while_all_is_read_is_known() -> None:
    tables = Tables(5)
    known = Lookups(tables)

    def add() -> None:
        number = tables.last_document() + 1
        tables.numbers[f"id{number}"] = number
        known.learn([(f"id{number}", number)], [(1, f"id{number}", Origin(number, "digest"))])

    def remove() -> None:
        del tables.numbers[f"id{tables.last_document()}"]
        known.forget()

    for change in (add, remove):
        known.forget()
        tables.while_read = change
        asked(known)
        tables.while_read = lambda: None
        assert asked(known) == [by_key(tables)] * 2


def test_what_cannot_be_read_as_a_whole_is_asked_for_one_by_one() -> None:
    def fail() -> None:
        raise StoreError("a page is damaged")

    tables = Tables(5)
    tables.while_read = fail
    known = Lookups(tables)
    assert asked(known) == [None, None]
    assert asked(known) == [None, None]
    assert tables.reads == 2


def test_too_much_is_kept_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MOST", 6)
    known = Lookups(Tables(5))
    known.origins(1)
    known.numbers()
    known.learn([("id6", 6)], [(1, "id6", Origin(6, "digest"))])
    assert [len(one or ()) for one in asked(known)] == [6, 6]
    known.learn([("id7", 7)], [(1, "id7", Origin(7, "digest"))])
    assert asked(known) == [None, None]


def test_a_small_source_of_a_large_index_is_read_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MOST", 6)
    tables = Tables(5)
    monkeypatch.setattr(tables, "last_document", lambda: 7)
    assert asked(Lookups(tables)) == [None, by_key(tables)]


def test_all_is_read_once_a_twentieth_of_it_was_asked_for() -> None:
    known = Lookups(Tables(100))
    assert [known.numbers() is not None for _ in range(6)] == [False] * 4 + [True] * 2


def test_a_damaged_page_of_ids_keeps_no_new_document_out(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    folder, index, encoder = tmp_path / "pages", tmp_path / "index", Encoder.load(tiny_encoder_dir)
    folder.mkdir()
    for number in range(300):
        (folder / f"{'k' * 80}{number:03}.md").write_text(f"keys and locks, page {number}")
    sync(index, [open_source(str(folder))], encoder=encoder)
    spoil_ids(index / INDEX_FILE)
    (folder / "new.md").write_text("doors")
    assert sync(index, [open_source(str(folder))], encoder=encoder).total.added == 1


def spoil_ids(file: Path) -> None:
    """Overwrite the beginning of the first leaf of the index of ids."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sql = "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_documents_1'"
    (root,), (size,) = connection.execute(sql).fetchone(), connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    data = bytearray(file.read_bytes())
    page = data[(root - 1) * size : root * size]
    assert page[0] == 2  # an interior page, whose cells begin with the number of a page
    cell = int.from_bytes(page[12:14])
    leaf = int.from_bytes(page[cell : cell + 4])
    data[(leaf - 1) * size : (leaf - 1) * size + 8] = b"\xff" * 8
    file.write_bytes(data)
