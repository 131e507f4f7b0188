"""Hostile input: nothing that comes in as a document or a query breaks an index, its files or its answers."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from opened import ids_of

from docsim.cli import main
from docsim.encoding.encoder import Encoder
from docsim.engine.records import SourceName
from docsim.index import Index
from docsim.ingest.sources import open_source
from docsim.maintenance import verify
from docsim.models import Document, SyncReport

LARGE = 4_000_000
"""Characters of a large text: what is linear takes less than a second."""

IDS = {
    "climbs up": "../../../etc/passwd",
    "is absolute": "/etc/passwd",
    "is a drive": "C:\\Windows\\system32",
    "is SQL": "'; DROP TABLE documents; --",
    "is a quote": '"',
    "is a wildcard": "%_*?[a-z]",
    "is JSON": '["a", {"b": 1}]',
    "is a number": "1",
    "is an option": "--index",
    "has lines": "a\nb\r\nc\td",
    "has colours": "\x1b[31mred\x1b[0m",
    "turns around": "abc\u202egpj.exe",
    "is long": "x" * 100_000,
    "is long in bytes": "😀" * 20_000,
    "holds NUL": "a\0b",
    "holds half a pair": "a\ud83d",
    "is the file of the index": "index.db",
    "is a memory database": ":memory:",
}

QUERIES = [
    "' OR 1=1 --", '"', '""', "*", "soup*", "NEAR(soup lentils, 2)", "title:soup", "soup AND NOT keys", "(", ")(",
    "-soup", "documents_fts", "{soup}", "^soup", "\\", "%s%n", "\0", "a\0b", "\ud800", "\udfff\ud800", "\u202e",
    "\x1b[31m", "?", "\ufeff", "٣", "𝔘𝔫𝔦", "a" * 100_000, "ﷺ" * 1000, "\u0301" * 5000, "[UNK] [PAD]", "😀",
]  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


@pytest.fixture
def index(tmp_path: Path, encoder: Encoder) -> Iterator[Index]:
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        index.sync([Document("soup", "lentils soup"), Document("keys", "signing keys")], source=named("own"))
        yield index
        assert verify.problems(index) == []


def named(name: str) -> SourceName:
    return SourceName("python", name, name)


def files_below(path: Path) -> set[str]:
    return {str(one.relative_to(path)) for one in path.rglob("*")}


# Ids


@pytest.mark.parametrize("kind", IDS)
def test_a_document_is_stored_found_changed_and_removed_whose_id(index: Index, kind: str) -> None:
    id = IDS[kind]
    before = files_below(index.path.parent)
    stored = Document(id, "quite another page").id
    assert index.sync([Document(id, "quite another page")], source=named("hostile")).added == 1
    assert index.sync([Document(id, "quite another page")], source=named("hostile")).unchanged == 1
    assert index.search("quite another page", 1).hits[0].id == stored
    assert index.document(id).document.text == "quite another page"
    assert stored not in {hit.id for hit in index.similar(id).hits}
    assert index.sync([Document(id, "changed")], source=named("hostile")).changed == 1
    assert index.remove([stored]) == 1
    assert {hit.id for hit in index.search("page").hits} == {"soup", "keys"}
    assert files_below(index.path.parent) <= before | {"index/index.db-wal", "index/index.db-shm"}


def test_all_hostile_ids_fit_into_one_index(index: Index) -> None:
    index.sync([Document(id, f"page {kind}") for kind, id in IDS.items()], source=named("hostile"))
    assert len(index.search("page", 100).hits) == len(IDS) + 2


# Queries


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_any_query_is_answered(index: Index, query: str) -> None:
    index.search(query, 5)  # some are operators, which no page may meet
    result = index.search(query, 5, plain=True)
    assert len(result.hits) == 2
    result.query.encode()  # raises where half a surrogate pair is left
    assert len(index.similar_to(Document("q", query, title=query)).hits) == 2


@given(text=st.text(), title=st.text(max_size=20), id=st.text(min_size=1).filter(lambda id: bool(id.strip())))
@pytest.mark.properties
@settings(max_examples=examples(15, 40), deadline=None)
def test_any_text_is_stored_and_answered_with_its_own_passages(shared: Index, text: str, title: str, id: str) -> None:
    document = Document(id, text, title=title, metadata={"key": text, title: [text]})
    assert shared.sync([document], source=named("any")).failures == ()
    hit = next(hit for hit in shared.similar_to(document, 5).hits if hit.id.endswith(document.id))
    stored = shared.document(hit.id).document
    assert (stored.text, stored.title, stored.metadata) == (document.text, document.title, document.metadata)
    assert [one.text for one in hit.passages] == [stored.text[one.start : one.end] for one in hit.passages]
    json.dumps(hit.metadata, ensure_ascii=False).encode()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> Iterator[Index]:
    with Index.create(tmp_path_factory.mktemp("shared") / "index", encoder=encoder) as index:
        yield index
        assert verify.problems(index) == []


# Texts


def test_numbers_that_json_lacks_are_kept_by_name(index: Index) -> None:
    metadata = {"a": math.inf, "b": [-math.inf, math.nan], "c": 1e300}
    index.sync([Document("a", "text", metadata=metadata)], source=named("numbers"))
    hit = index.search("text", k=1).hits[0]
    assert hit.metadata == {"a": "Infinity", "b": ["-Infinity", "NaN"], "c": 1e300}
    json.dumps(hit.metadata, allow_nan=False)


def test_what_no_database_can_hold_becomes_a_replacement_character(index: Index) -> None:
    document = Document("a\0", "te\0xt \ud800.", title="t\udfff", metadata={"k\ud800": "v\udfff\0", "n": [1.5, None]})
    index.sync([document], source=named("hostile"))
    stored = index.document("a\0").document
    assert (stored.id, stored.text, stored.title) == ("a\ufffd", "te\ufffdxt \ufffd.", "t\ufffd")
    assert stored.metadata["k\ufffd"].startswith("v\ufffd")
    assert index.sync([document], source=named("hostile")) == SyncReport(unchanged=1)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("x" * 50_000_000, id="one word of 50 MB", marks=pytest.mark.thorough),
        pytest.param("lentils soup " * (LARGE // 13), id="one line"),
        pytest.param("\n" * LARGE, id="blank"),
        pytest.param("`" * LARGE, id="backticks"),
        pytest.param("=" * LARGE, id="underline"),
        pytest.param("a\n=" * (LARGE // 3), id="headings", marks=pytest.mark.thorough),
    ],
)
def test_a_very_large_text_goes_in(index: Index, line: str) -> None:
    assert index.sync([Document("large", line)], source=named("large")).added == 1
    hit = next(hit for hit in index.search("lentils soup", 3).hits if hit.id == "large")
    assert all(one.text == line[one.start : one.end] for one in hit.passages)


def test_very_many_documents_of_one_text_all_come_back(index: Index) -> None:
    index.sync([Document(f"d{i}", "the same text") for i in range(1500)], source=named("many"))
    assert len({hit.id for hit in index.search("the same text", 1500).hits}) == 1500
    assert len(index.similar("d7", 700).hits) == 700


# Files


def put(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError:
        pytest.skip("the file system takes no such names")


def test_files_with_names_that_are_no_utf8_are_indexed_under_two_ids(index: Index, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for file in (b"caf\xe9.txt", b"caf\xe8.txt", b"new\nline.txt", b"--index.txt"):
        put(folder / os.fsdecode(file), b"text of " + file)
    source = open_source(str(folder))
    name = SourceName(source.kind, source.location, source.name)
    assert index.sync(source.entries(), source=name).added == 4
    assert index.sync(source.entries(), source=name).unchanged == 4
    ids = ids_of(index)
    assert {"caf\\xe9.txt", "caf\\xe8.txt", "new\nline.txt", "--index.txt"} <= ids


def test_links_out_of_a_folder_are_not_followed(index: Index, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "up").symlink_to(tmp_path)
    (folder / "round").symlink_to(folder)
    (folder / "a.txt").write_text("a")
    source = open_source(str(folder))
    index.sync(source.entries(), source=SourceName(source.kind, source.location, source.name))
    assert ids_of(index) == {"soup", "keys", "a.txt"}


def test_pipes_and_devices_in_a_folder_do_not_hang(index: Index, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(folder / "pipe.txt")
    (folder / "a.txt").write_text("a")
    source = open_source(str(folder))
    assert index.sync(source.entries(), source=SourceName(source.kind, source.location, source.name)).added == 1


RECORDS = {
    "too deep": '{"id": "deep", "text": "x", "m": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "a huge number": '{"id": "huge", "text": "x", "m": ' + "9" * 10_000 + "}",
    "no object": "[1, 2]",
    "no text": '{"id": "none"}',
    "a text that is a number": '{"id": "number", "text": 5}',
    "an id that is an object": '{"id": {"a": 1}, "text": "x"}',
    "an id that is blank": '{"id": " ", "text": "x"}',
    "half a pair": '{"id": "pair\\ud800", "text": "\\udc00"}',
    "not a number": '{"id": "nan", "text": "x", "m": NaN}',
    "cut off": '{"id": "cut", "te',
    "bytes": b'{"id": "bytes", "text": "\xff\xfe"}'.decode("latin-1"),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_hostile_record_stops_no_other(index: Index, tmp_path: Path, kind: str) -> None:
    lines = ['{"id": "first", "text": "one"}', RECORDS[kind], '{"id": "last", "text": "two"}']
    (tmp_path / "r.jsonl").write_bytes("\n".join(lines).encode("latin-1"))
    done = CliRunner().invoke(main, ["index", str(tmp_path / "r.jsonl"), "--index", str(index.path), "--json"])
    assert done.exit_code in (0, 3), (done.output, done.exception)
    ids = ids_of(index)
    assert {"first", "last"} <= ids
    answer = CliRunner().invoke(main, ["query", "x", "--index", str(index.path), "--json", "-k", "9"])
    assert answer.exit_code == 0, answer.output
    assert {"first", "last"} <= {hit["id"] for hit in json.loads(answer.stdout)["hits"]}
