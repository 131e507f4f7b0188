"""The tables of an index in PostgreSQL, and the migrations that bring an older schema up to date.

Everything lies in one schema, so that a database holds several indexes. Numbers are never reused.

    state         one row: the revision, how much there is, and the last numbers that were given
    meta          key and value: the format, notes
    sources       what was indexed
    documents     one row a document, without its text; ``metadata`` is what was given, ``fields`` what filters ask
    texts         the text of each document
    origins       which path of which source stands for which document, and the digest it was last read with
    failures      paths that could not be read the last time
    deletions     the first passage numbers of deleted documents, so that words can catch up
    generations   one row per encoder; at most one is ``live``
    embedded      which documents each generation has, and the CRC-32 of their embeddings
    embeddings_N  the embeddings of generation N: one ``halfvec`` a passage
    mapped_N      the live embeddings, mapped for generation N while it is built
    mappings      such mappings
    verdicts      what the gate found about a generation
    words         which segments of words count, see ``docsim.engine.postgres.word_storage``
    files         encoders, reports, alignments and segments, in pieces

Ids and paths may be longer than an index of PostgreSQL takes: their ``key`` is a hash.
"""

from __future__ import annotations

from docsim.engine.postgres.queries import Queries
from docsim.errors import StoreError

__all__ = ["VERSION", "embeddings_table", "mapped_table", "migrate", "vectors_table"]

VERSION = 1
"""Kept in ``meta``. A schema of a higher version was written by a newer docsim."""

_TABLES = """
CREATE TABLE meta (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    revision bigint NOT NULL DEFAULT 0,
    documents bigint NOT NULL DEFAULT 0,
    passages bigint NOT NULL DEFAULT 0,
    last_document bigint NOT NULL DEFAULT 0,
    last_passage bigint NOT NULL DEFAULT 0,
    last_deletion bigint NOT NULL DEFAULT 0,
    forgotten bigint NOT NULL DEFAULT 0
);
INSERT INTO state DEFAULT VALUES;
CREATE TABLE sources (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    location text NOT NULL,
    name text NOT NULL,
    started text NOT NULL,
    finished text
);
CREATE TABLE documents (
    number bigint PRIMARY KEY,
    key bytea NOT NULL UNIQUE,
    id text COLLATE "C" NOT NULL,
    title text NOT NULL,
    metadata text NOT NULL,
    fields jsonb NOT NULL,
    digest text NOT NULL,
    first_passage bigint NOT NULL UNIQUE,
    passages integer NOT NULL,
    starts integer[] NOT NULL,
    ends integer[] NOT NULL,
    headings text[] NOT NULL
);
CREATE TABLE texts (document bigint PRIMARY KEY, text text NOT NULL);
CREATE TABLE origins (
    source bigint NOT NULL REFERENCES sources,
    key bytea NOT NULL,
    path text NOT NULL,
    document bigint NOT NULL,
    digest text NOT NULL,
    PRIMARY KEY (source, key)
);
CREATE INDEX origins_document ON origins (document);
CREATE TABLE failures (
    source bigint NOT NULL REFERENCES sources,
    key bytea NOT NULL,
    path text NOT NULL,
    reason text NOT NULL,
    failed text NOT NULL,
    PRIMARY KEY (source, key)
);
CREATE TABLE deletions (sequence bigint PRIMARY KEY, first_passage bigint NOT NULL);
CREATE TABLE generations (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('building', 'live', 'retired')),
    fingerprint text NOT NULL,
    encoder text NOT NULL,
    dim integer NOT NULL,
    created text NOT NULL,
    published text,
    base text
);
CREATE UNIQUE INDEX one_live ON generations (state) WHERE state = 'live';
CREATE TABLE embedded (
    generation bigint NOT NULL REFERENCES generations ON DELETE CASCADE,
    document bigint NOT NULL,
    checksum bigint NOT NULL,
    PRIMARY KEY (generation, document)
);
CREATE INDEX embedded_document ON embedded (document);
CREATE INDEX embedded_sample ON embedded (generation, ((document * 2654435761) % 4294967296), document);
CREATE TABLE mappings (
    generation bigint PRIMARY KEY REFERENCES generations ON DELETE CASCADE,
    source text NOT NULL,
    digest text NOT NULL,
    passages integer NOT NULL,
    dim integer NOT NULL
);
CREATE TABLE verdicts (
    generation bigint PRIMARY KEY REFERENCES generations ON DELETE CASCADE,
    checked text NOT NULL,
    passed boolean NOT NULL,
    summary text NOT NULL
);
CREATE TABLE words (
    after bigint PRIMARY KEY,
    passage bigint NOT NULL,
    deletion bigint NOT NULL,
    digest text NOT NULL,
    format integer NOT NULL
);
CREATE TABLE files (
    owner text NOT NULL,
    name text NOT NULL,
    piece integer NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (owner, name, piece)
);
ALTER TABLE files ALTER COLUMN content SET STORAGE EXTERNAL;
"""

_MIGRATIONS = (_TABLES,)
_INLINE = 3_800  # components of a halfvec that fit into a page; more are kept apart


def migrate(queries: Queries) -> None:
    """Make all tables or bring them up to date, in the transaction that is open; one writer at a time.

    Raises:
        StoreError: A newer docsim wrote them.
    """
    has = queries.value("SELECT to_regclass(quote_ident(current_schema()) || '.meta') IS NOT NULL")
    version = int(queries.value("SELECT value FROM meta WHERE key = 'format'") or 0) if has else 0
    if version > VERSION:
        raise StoreError(f"expected an index of format {VERSION}, found format {version}; it needs a newer docsim")
    for migration in _MIGRATIONS[version:]:
        queries.execute(migration)
    if version < VERSION:
        queries.execute(
            "INSERT INTO meta VALUES ('format', %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            str(VERSION),
        )


def embeddings_table(generation: int) -> str:
    """Return the name of the table of a generation's embeddings."""
    return f"embeddings_{int(generation)}"


def mapped_table(generation: int) -> str:
    """Return the name of the table of the live embeddings as mapped for a generation."""
    return f"mapped_{int(generation)}"


def vectors_table(name: str, dim: int) -> str:
    """Return the SQL that makes a table of embeddings."""
    storage = f"ALTER TABLE {name} ALTER COLUMN embedding SET STORAGE PLAIN;" if dim <= _INLINE else ""
    return (
        f"CREATE TABLE {name} (document bigint NOT NULL, passage bigint NOT NULL, embedding halfvec({int(dim)}) NOT"
        f" NULL, PRIMARY KEY (document, passage));{storage}"
    )
