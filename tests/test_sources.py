"""Sources yield every document once, under a stable id, and say what could not be read."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docsim.errors import SourceError, UsageError
from docsim.ingest import formats, record_files, sources
from docsim.ingest.sources import Source, open_source, read_document
from docsim.models import Document, Entry, Failure, Item, LeftOut


def _tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
    return root


def _path(item: Item) -> str:
    return item.id if isinstance(item, Document) else item.path


def _paths(source: Source) -> list[str]:
    return [_path(entry) for entry in source.entries() if not isinstance(entry, LeftOut)]


def _documents(source: Source) -> list[Document]:
    return [entry.load() for entry in source.entries() if isinstance(entry, Entry)]


def _failures(source: Source) -> list[Failure]:
    return [entry for entry in source.entries() if isinstance(entry, Failure)]


def _records(path: Path, content: str | bytes) -> Source:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    source = open_source(str(path))
    source.check()
    return source


# Folders


def test_a_folder_yields_its_documents_in_sorted_order(tmp_path: Path) -> None:
    _tree(tmp_path, {"b.md": "# B", "a/z.txt": "Z", "a/c/d.rst": "D", "a.html": "<p>A", "README": "Read me"})
    assert _paths(open_source(str(tmp_path))) == ["README", "a/c/d.rst", "a/z.txt", "a.html", "b.md"]


def test_a_document_of_a_folder_is_read_under_its_path(tmp_path: Path) -> None:
    _tree(tmp_path, {"guide/wind.md": "---\ntags: [a]\n---\n# Wind\n"})
    assert _documents(open_source(str(tmp_path))) == [Document("guide/wind.md", "# Wind\n", "Wind", {"tags": ["a"]})]


def test_a_source_has_the_name_and_place_of_its_folder(tmp_path: Path) -> None:
    source = open_source(f"{tmp_path}/./../{tmp_path.name}")
    assert (source.kind, source.location, source.name) == ("folder", str(tmp_path.resolve()), tmp_path.name)


@pytest.mark.parametrize("name", ["x.py", "x.json", "x.jsonl", "x.csv", "x.png", "Makefile", ".hidden.md", ".git/a.md"])
def test_what_is_no_document_is_left_out_of_a_folder(tmp_path: Path, name: str) -> None:
    assert _paths(open_source(str(_tree(tmp_path, {name: "text"})))) == []


@pytest.mark.parametrize("name", ["x.MD", "x.markdown", "x.1", "LICENSE", "x.ipynb", "x.PDF", "x.log", "x y.txt"])
def test_what_is_a_document_is_taken_from_a_folder(tmp_path: Path, name: str) -> None:
    assert _paths(open_source(str(_tree(tmp_path, {name: "text"})))) == [name]


@pytest.mark.parametrize("content", [b"\x7fELF\0\0", b"#!/bin/sh\necho"])
def test_binaries_and_scripts_without_a_suffix_are_left_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tool").write_bytes(content)
    assert _paths(open_source(str(tmp_path))) == []


def test_ignore_files_are_honoured_in_every_folder(tmp_path: Path) -> None:
    files = {
        ".gitignore": "*.log\nbuild/\n/top.md\ndocs/**/draft.md\n",
        "docs/.gitignore": "!keep.log\n*.txt\n",
        "docs/.docsimignore": "!note.txt\n",
    }
    kept = ["docs/deep/top.md", "docs/keep.log", "docs/note.txt", "other.txt"]
    dropped = ["a.log", "top.md", "x/build/a.md", "docs/a/draft.md", "docs/draft.md", "docs/b.txt", "docs/deep/c.txt"]
    _tree(tmp_path, files | dict.fromkeys(kept + dropped, "text"))
    assert _paths(open_source(str(tmp_path))) == kept


def test_what_an_ignored_folder_holds_cannot_be_taken_back(tmp_path: Path) -> None:
    _tree(tmp_path, {".gitignore": "build/\n!build/a.md\n", "build/a.md": "a", "build/.gitignore": "!a.md"})
    assert _paths(open_source(str(tmp_path))) == []


def test_lines_of_an_ignore_file_that_are_no_patterns_are_passed_over(tmp_path: Path) -> None:
    _tree(tmp_path, {".gitignore": "!\n[z-a]\na\\\n*.log\n", "a.md": "a", "b.log": "b"})
    assert _paths(open_source(str(tmp_path))) == ["a.md"]


def test_symbolic_links_make_neither_loops_nor_duplicates(tmp_path: Path) -> None:
    outside = _tree(tmp_path / "outside", {"secret.md": "s"})
    root = _tree(tmp_path / "root", {"a.md": "a"})
    (root / "loop").symlink_to(root)
    (root / "again.md").symlink_to(root / "a.md")
    (root / "out.md").symlink_to(outside / "secret.md")
    (root / "gone.md").symlink_to(root / "nothing")
    assert _paths(open_source(str(root))) == ["a.md"]


def test_a_docsim_index_in_a_folder_is_left_out(tmp_path: Path) -> None:
    _tree(tmp_path, {"a.md": "a", "index/index.db": "", "index/generations/0001/encoder/notes.md": "n"})
    assert _paths(open_source(str(tmp_path))) == ["a.md"]


def test_a_folder_that_cannot_be_listed_is_a_failure_that_bears_no_id(tmp_path: Path) -> None:
    entries = open_source(str(_tree(tmp_path, {"a.md": "a", "b/c.md": "c", "d.md": "d"}))).entries()
    first = next(entries)
    shutil.rmtree(tmp_path / "b")
    failure, last = entries
    assert (_path(first), _path(last)) == ("a.md", "d.md")
    assert failure == Failure("b/", "could not be read: No such file or directory", identified=False)


def test_a_file_that_vanishes_before_it_is_read_is_a_failure(tmp_path: Path) -> None:
    entries = open_source(str(_tree(tmp_path, {"a.md": "a", "b.md": "b"}))).entries()
    next(entries)
    (tmp_path / "b.md").unlink()
    assert list(entries) == [Failure("b.md", "could not be read: No such file or directory")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_a_failure_and_the_rest_goes_on(tmp_path: Path) -> None:
    _tree(tmp_path, {"a.md": "a", "b/c.md": "c", "d.md": "d"})
    (tmp_path / "a.md").chmod(0)
    (tmp_path / "b").chmod(0)
    entries = list(open_source(str(tmp_path)).entries())
    (tmp_path / "b").chmod(0o700)
    assert [(_path(entry), isinstance(entry, Failure)) for entry in entries] == [
        ("a.md", True),
        ("b/", True),
        ("d.md", False),
    ]


def test_a_digest_changes_with_the_content_and_only_with_it(tmp_path: Path) -> None:
    def digest() -> str:
        (entry,) = open_source(str(tmp_path)).entries()
        assert isinstance(entry, Entry)
        return entry.digest

    _tree(tmp_path, {"a.md": "one"})
    before = digest()
    os.utime(tmp_path / "a.md", (0, 0))
    assert digest() == before
    _tree(tmp_path, {"a.md": "two"})
    assert digest() != before


def test_a_digest_changes_with_the_version_of_the_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tree(tmp_path, {"a.md": "one", "r.jsonl": '{"text": "a"}'})

    def digests() -> list[str]:
        names = (str(tmp_path), str(tmp_path / "r.jsonl"))
        return [entry.digest for name in names for entry in open_source(name).entries() if isinstance(entry, Entry)]

    before = digests()
    monkeypatch.setattr(formats, "FORMATS_VERSION", formats.FORMATS_VERSION + 1)
    assert [a == b for a, b in zip(before, digests(), strict=True)] == [False, False]


def test_a_file_that_cannot_be_converted_fails_when_it_is_loaded(tmp_path: Path) -> None:
    (entry,) = open_source(str(_tree(tmp_path, {"a.pdf": "no pdf"}))).entries()
    assert isinstance(entry, Entry)
    with pytest.raises(SourceError, match="damaged"):
        entry.load()


def test_a_name_that_is_no_utf8_is_spelt_out(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.md")).write_text("# Coffee")
    assert _documents(open_source(str(tmp_path))) == [Document("caf\\xe9.md", "# Coffee", "Coffee")]


def test_folders_nested_beyond_the_recursion_limit_are_read(tmp_path: Path) -> None:
    code = (
        "import os, sys; from docsim.ingest.sources import open_source\n"
        "for _ in range(1500): os.mkdir('d'); os.chdir('d')\n"
        "open('a.md', 'w').close(); os.chdir(sys.argv[1])\n"
        "assert [e.path for e in open_source('.').entries()] == ['d/' * 1500 + 'a.md']\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=tmp_path, check=True)
    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)  # Python's rmtree recurses


# Single files


def test_a_named_file_is_one_document_whatever_its_suffix(tmp_path: Path) -> None:
    path = _tree(tmp_path / "code", {"a.py": "x = 1\n"}) / "a.py"
    source = open_source(str(path))
    assert (source.kind, source.name, source.total()) == ("file", "code", 1)
    assert _documents(source) == [Document("a.py", "x = 1\n", "A")]


def test_a_document_is_read_under_the_id_asked_for(tmp_path: Path) -> None:
    path = _tree(tmp_path / "guide", {"index.md": "text"}) / "index.md"
    assert read_document(path, id="i") == Document("i", "text", "Guide")


def test_a_document_that_is_not_there_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="could not be read: No such file"):
        read_document(tmp_path / "none.md")


@pytest.mark.parametrize("argument", ["nothing/here", "", "a\0b", "/dev/null"])
def test_what_is_neither_folder_nor_file_is_refused(tmp_path: Path, argument: str) -> None:
    with pytest.raises(UsageError, match="expected a folder or a file"):
        open_source(str(tmp_path / argument) if argument.startswith("nothing") else argument or str(tmp_path / "x"))


# Records


def test_a_json_line_is_a_document_with_all_else_as_metadata(tmp_path: Path) -> None:
    line = {"id": 7, "title": "T", "text": "body", "year": 1999, "by": {"name": "A"}}
    source = _records(tmp_path / "my.notes.jsonl", json.dumps(line) + "\n")
    assert (source.kind, source.name) == ("records", "my.notes")
    assert _documents(source) == [Document("7", "body", "T", {"year": 1999, "by": {"name": "A"}})]


def test_a_record_without_id_is_known_by_its_line(tmp_path: Path) -> None:
    source = _records(tmp_path / "a.ndjson", '{"text": "a"}\n\n{"id": " ", "text": "b"}\n{"id": null, "text": "c"}')
    assert _paths(source) == ["a.ndjson:1", "a.ndjson:3", "a.ndjson:4"]


def test_the_digest_of_a_record_does_not_depend_on_its_spelling(tmp_path: Path) -> None:
    lines = ['{"id": 1, "text": "é"}', '{ "text":"\\u00e9", "id": 1}', '{"id": 1, "text": "e"}']
    first, second, third = (next(_records(tmp_path / "a.jsonl", line).entries()) for line in lines)
    assert isinstance(first, Entry)
    assert isinstance(second, Entry)
    assert isinstance(third, Entry)
    assert first.digest == second.digest != third.digest


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": 1, "text": "a"', "the line is not valid JSON: Expecting ',' delimiter at character 23"),
        ("[1]", "expected a JSON object, got a list"),
        ('{"id": [1], "text": "a"}', "expected a string or a number as id, got a list"),
        ('{"id": true, "text": "a"}', "expected a string or a number as id, got true or false"),
        ("[" * 100_000, "the line has a number that is too long, or is nested too deeply"),
        ('{"id": ' + "1" * 5000 + "}", "the line has a number that is too long, or is nested too deeply"),
    ],
)
def test_a_line_whose_id_is_unknown_is_a_failure_at_its_place(tmp_path: Path, line: str, reason: str) -> None:
    source = _records(tmp_path / "a.jsonl", f'{{"text": "x"}}\n{line}\n{{"text": "y"}}\n')
    assert _paths(source) == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:3"]
    assert _failures(source) == [Failure("a.jsonl:2", reason, identified=False)]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ('"title": "t"', "expected a string as text in line 1, got nothing"),
        ('"text": 5', "expected a string as text in line 1, got a number"),
        ('"text": "a", "title": ["t"]', "expected a string as title in line 1, got a list"),
    ],
)
def test_a_record_without_text_is_a_failure_under_its_id(tmp_path: Path, fields: str, reason: str) -> None:
    assert _failures(_records(tmp_path / "a.jsonl", f'{{"id": "x", {fields}}}')) == [Failure("x", reason)]


def test_a_record_with_the_id_of_another_is_a_failure_at_its_place(tmp_path: Path) -> None:
    first, second = _records(tmp_path / "a.jsonl", '{"id": 1, "text": "a"}\n{"id": "1", "text": "b"}').entries()
    assert _path(first) == "1"
    assert second == Failure("a.jsonl:2", "an earlier record has the same id '1'; give each record its own")


def test_only_a_newline_ends_a_json_line(tmp_path: Path) -> None:
    source = _records(tmp_path / "a.jsonl", '\ufeff{"id": 1, "text": "a\u2028b\x85c"}\r\n{"id": 2, "text": "d"}\r\n')
    assert [document.text for document in _documents(source)] == ["a\u2028b\x85c", "d"]


def test_numbers_that_json_does_not_have_become_null(tmp_path: Path) -> None:
    (document,) = _documents(_records(tmp_path / "a.jsonl", '{"text": "a", "score": NaN}'))
    assert document.metadata == {"score": None}


def test_standard_input_is_read_as_json_lines() -> None:
    stream = io.BytesIO(b'{"id": "a", "text": "x"}\nno json\n')
    source = open_source("-", stdin=stream)
    assert (source.kind, source.location, source.name, source.total()) == ("stdin", "-", "stdin", None)
    assert _paths(source) == ["a", "stdin:2"]
    assert not stream.closed


def test_csv_columns_become_fields(tmp_path: Path) -> None:
    source = _records(tmp_path / "a.csv", '\ufeffID,Text,year,\n1,"a ""b""\nc",1999,\n\n2,d,,\n')
    documents = [Document("1", 'a "b"\nc', "", {"year": "1999"}), Document("2", "d")]
    assert _documents(source) == documents
    assert source.total() == 2


@pytest.mark.parametrize(
    ("name", "separator"), [("a.tsv", "\t"), ("a.csv", ";"), ("a.tsv.gz", "\t"), ("A.CSV.GZ", ",")]
)
def test_tables_are_read_with_their_separator_packed_or_not(tmp_path: Path, name: str, separator: str) -> None:
    content = separator.join(["id", "text"]) + "\n" + separator.join(["1", "a word"]) + "\n"
    packed = gzip.compress(content.encode()) if name.lower().endswith("gz") else content
    source = _records(tmp_path / name, packed)
    assert source.name.lower() == "a"
    assert _documents(source) == [Document("1", "a word")]


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8-sig"])
def test_csv_is_read_in_its_encoding(tmp_path: Path, encoding: str) -> None:
    content = "id,text\n1,Le garçon a mangé une pêche\n".encode(encoding)
    assert _documents(_records(tmp_path / "a.csv", content)) == [Document("1", "Le garçon a mangé une pêche")]


def test_a_csv_row_without_id_is_known_by_the_line_it_begins_on(tmp_path: Path) -> None:
    assert _paths(_records(tmp_path / "a.csv", 'text\n"a\nb"\nc\n')) == ["a.csv:2", "a.csv:4"]


def test_a_csv_field_may_be_huge(tmp_path: Path) -> None:
    (document,) = _documents(_records(tmp_path / "a.csv", f"id,text\n1,{'x' * 1_000_000}\n"))
    assert len(document.text) == 1_000_000


def test_csv_rows_that_do_not_fit_their_header_are_failures(tmp_path: Path) -> None:
    too_long, too_short, fits = _records(tmp_path / "a.csv", "id,text\n1,a,b\n2\n3,c\n").entries()
    assert too_long == Failure("a.csv:2", "the row has 3 cells, but the header has 2 columns", identified=False)
    assert too_short == Failure("2", "expected a string as text in line 3, got nothing")
    assert _path(fits) == "3"


@pytest.mark.parametrize(("content", "found"), [("name,body\na,b\n", "name, body"), ("", "none")])
def test_csv_without_a_column_for_the_text_is_refused_by_name(tmp_path: Path, content: str, found: str) -> None:
    with pytest.raises(UsageError, match=f"expected a column named text in .*, found: {found};"):
        _records(tmp_path / "a.csv", content)


def test_records_of_far_too_many_fields_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected at most 10,000 columns in .*, found 10,001"):
        _records(tmp_path / "a.csv", "text" + ",c" * 10_000)
    line = json.dumps({"text": "a"} | dict.fromkeys(map(str, range(10_000)), 1))
    reason = "expected at most 10,000 fields, got 10,001"
    assert _failures(_records(tmp_path / "a.jsonl", f"{line}\n")) == [Failure("a.jsonl:1", reason, identified=False)]


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", b"\0\1"), ("a.csv.gz", b"id,text\n"), ("a.jsonl.gz", b"\x1f\x8b\x08")]
)
def test_records_that_are_something_else_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(UsageError, match="could not read"):
        _records(tmp_path / name, content)


def test_a_packed_file_that_ends_early_yields_what_it_holds_and_a_failure(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"id": n, "text": os.urandom(50).hex()}) + "\n" for n in range(5000))
    source = _records(tmp_path / "a.jsonl.gz", gzip.compress(lines.encode())[:-1000])
    *entries, failure = source.entries()
    assert len(entries) > 4000
    assert isinstance(failure, Failure)
    assert failure == Failure(f"a.jsonl.gz:{len(entries) + 1}", failure.reason, identified=False)
    assert source.total() in (len(entries), len(entries) + 1)  # the last line is cut off


@given(
    st.lists(
        st.dictionaries(st.text(), st.none() | st.booleans() | st.floats() | st.text() | st.integers(), max_size=5),
        max_size=10,
    )
)
def test_any_records_are_counted_and_none_stops_the_rest(records: list[dict[str, Any]]) -> None:
    lines = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    entries = list(open_source("-", stdin=io.BytesIO(lines)).entries())
    assert len(entries) == len(records)
    assert all(isinstance(entry, Entry | Failure) for entry in entries)
    assert all(isinstance(entry.load(), Document) for entry in entries if isinstance(entry, Entry))


def test_a_record_longer_than_the_limit_is_a_failure_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_files, "RECORD_LIMIT", 100)
    source = _records(tmp_path / "a.jsonl", f'{{"text": "{"x" * 500}"}}\n{{"text": "y"}}\n')
    reason = "the line is longer than 100 characters"
    assert _failures(source) == [Failure("a.jsonl:1", reason, identified=False)]
    assert [document.text for document in _documents(source)] == ["y"]


@pytest.fixture
def csv_limit() -> Iterator[None]:
    """Put back the limit of the ``csv`` module, which reading a table sets for the whole process."""
    before = csv.field_size_limit()
    yield
    csv.field_size_limit(before)


@pytest.mark.usefixtures("csv_limit")
def test_a_csv_cell_longer_than_the_limit_is_a_failure_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_files, "RECORD_LIMIT", 100)
    source = _records(tmp_path / "a.csv", f"id,text\n1,{'x' * 80}\n2,{'y ' * 90}\n3,z\n")
    reason = "the row is longer than 100 characters"
    assert _failures(source) == [Failure("a.csv:3", reason, identified=False)]
    assert [document.id for document in _documents(source)] == ["1", "3"]


def test_a_file_larger_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "FILE_LIMIT", 1 << 20)
    (tmp_path / "a.txt").write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(SourceError, match="the file is larger than 1 MB"):
        read_document(tmp_path / "a.txt")
