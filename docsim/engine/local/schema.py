"""The tables of ``index.db``, and the migrations that bring an older file up to date.

SQLite holds the truth of an index: everything else can be rebuilt from these tables. Internal numbers are never reused.

    meta          key and value; ``revision`` grows by one with every commit that changes answers
    sources       what was indexed: folders, files, records, standard input or the Python API
    documents     one row per document, its text last, so that other columns are read without it
    words         the files that hold the documents' words, see ``docsim.engine.local.word_storage``
    origins       which path of which source stands for which document, and the digest it was last read with
    failures      paths that could not be read the last time
    passages      spans of documents; ``number`` is the FAISS id; the passages of one document are consecutive
    deletions     ranges of deleted passage numbers, so that a FAISS file can catch up
    generations   one row per encoder that the documents were embedded with; at most one is ``live``
    embeddings    one row per document and generation: float16 embeddings of its passages, row by row, and their CRC-32
    verdicts      what the gate found when a generation was checked before it was published
    adapters      mappings of the live embeddings, see ``docsim.engine.local.mappings``

``sqlite_utils`` is imported only here, and only for a file that is new or out of date: it imports pandas if that is
installed, which takes longer than a whole query.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database

__all__ = ["VERSION", "migrate"]

VERSION = 6
"""Stored in ``PRAGMA user_version``. A file with a higher version was written by a newer docsim."""

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sources (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    location TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    started TEXT NOT NULL,
    finished TEXT
);
CREATE TABLE IF NOT EXISTS documents (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    metadata TEXT NOT NULL,
    digest TEXT NOT NULL,
    first_passage INTEGER NOT NULL,
    passages INTEGER NOT NULL,
    text TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS origins (
    source INTEGER NOT NULL REFERENCES sources,
    path TEXT NOT NULL,
    document INTEGER NOT NULL REFERENCES documents,
    digest TEXT NOT NULL,
    PRIMARY KEY (source, path)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS origins_document ON origins (document);
CREATE TABLE IF NOT EXISTS failures (
    source INTEGER NOT NULL REFERENCES sources,
    path TEXT NOT NULL,
    reason TEXT NOT NULL,
    failed TEXT NOT NULL,
    PRIMARY KEY (source, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS passages (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL REFERENCES documents,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    heading TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS passages_document ON passages (document);
CREATE TABLE IF NOT EXISTS deletions (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    first_passage INTEGER NOT NULL,
    passages INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS generations (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL CHECK (state IN ('building', 'live', 'retired')),
    fingerprint TEXT NOT NULL,
    encoder TEXT NOT NULL,
    dim INTEGER NOT NULL,
    created TEXT NOT NULL,
    published TEXT,
    snapshot_digest TEXT,
    snapshot_passage INTEGER NOT NULL DEFAULT 0,
    snapshot_deletion INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX IF NOT EXISTS one_live ON generations (state) WHERE state = 'live';
CREATE TABLE IF NOT EXISTS embeddings (
    number INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL REFERENCES generations,
    document INTEGER NOT NULL REFERENCES documents,
    first_passage INTEGER NOT NULL,
    vectors BLOB NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS embeddings_passage ON embeddings (generation, first_passage, document);
CREATE UNIQUE INDEX IF NOT EXISTS embeddings_document ON embeddings (document, generation);
INSERT OR IGNORE INTO meta VALUES ('revision', 0);
"""

_VERDICTS = """
CREATE TABLE IF NOT EXISTS verdicts (
    generation INTEGER PRIMARY KEY REFERENCES generations,
    checked TEXT NOT NULL,
    passed INTEGER NOT NULL,
    summary TEXT NOT NULL
);
"""

_ADAPTERS = """
DROP TABLE IF EXISTS adapters;
CREATE TABLE adapters (
    generation INTEGER PRIMARY KEY REFERENCES generations,
    source TEXT NOT NULL,
    digest TEXT NOT NULL,
    passages INTEGER NOT NULL,
    snapshot_digest TEXT NOT NULL,
    snapshot_passage INTEGER NOT NULL,
    snapshot_deletion INTEGER NOT NULL
);
"""

FORMERLY = ("documents_ai", "documents_ad", "documents_au", "documents_fts")
"""Triggers and virtual tables of older formats."""

_WORDS = """
DROP TRIGGER IF EXISTS documents_ai;
DROP TRIGGER IF EXISTS documents_ad;
DROP TRIGGER IF EXISTS documents_au;
DROP TABLE IF EXISTS documents_fts;
CREATE TABLE IF NOT EXISTS words (
    after INTEGER PRIMARY KEY,
    passage INTEGER NOT NULL,
    deletion INTEGER NOT NULL,
    digest TEXT NOT NULL,
    format INTEGER NOT NULL
);
"""


_FIRST_PASSAGES = "CREATE INDEX IF NOT EXISTS documents_first_passage ON documents (first_passage);"
"""What came after some passage is asked whenever an index is opened, and texts make reading all documents slow."""


def migrate(connection: sqlite3.Connection) -> None:
    """Create all tables or bring them up to date; safe to run again after an interruption.

    Args:
        connection: Writable, with no transaction open; one writer at a time.
    """
    if connection.execute("PRAGMA user_version").fetchone()[0] == VERSION:
        return
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

    migrations = Migrations("docsim")
    migrations(name="tables", transactional=False)(_create_tables)
    migrations(name="verdicts", transactional=False)(_create_verdicts)
    migrations(name="adapters of embeddings", transactional=False)(_create_adapters)
    migrations(name="words", transactional=False)(_create_words)
    migrations(name="first passages", transactional=False)(_create_first_passages)
    migrations.apply(Database(connection))
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.commit()


def _create_tables(database: Database) -> None:
    database.conn.executescript(_TABLES)


def _create_verdicts(database: Database) -> None:
    database.conn.executescript(_VERDICTS)


def _create_adapters(database: Database) -> None:
    database.conn.executescript(_ADAPTERS)


def _create_words(database: Database) -> None:
    database.conn.executescript(_WORDS)


def _create_first_passages(database: Database) -> None:
    database.conn.executescript(_FIRST_PASSAGES)
