"""Fuzzing: whatever is in a file, its reader gives a legible text or one sentence, within limits of time and memory.

Each file is read in a process that is killed after ``SECONDS`` and has no more memory than
``conversion_pool.MEMORY_LIMIT``, also where docsim itself reads text without one.
``FUZZ=5000 pytest tests/test_fuzz_readers.py`` tries so many files of each format, other ones each time; without it the
files are the same in every run.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import resource
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from effort import examples
from exports import zipped
from hostile_files import LARGE, PIECES, SUFFIXES, altered, seeds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from docsim.child_process import Frame
from docsim.errors import DocsimError, SourceError
from docsim.ingest import conversion_pool
from docsim.ingest.sources import ReadingOptions, open_source
from docsim.models import Document, Entry, Failure, LeftOut

pytestmark = pytest.mark.properties

SECONDS = 200.0
"""What one file may take on a machine that is busy with other things; most take milliseconds."""

CPU_SECONDS = 15.0
"""What one large file may take of a processor, the start of the process that reads it included."""

FUZZ = int(os.environ.get("FUZZ", "0"))
CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f]")

fuzzing = settings(
    max_examples=FUZZ or examples(4, 40),
    derandomize=not FUZZ,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def check(data: bytes, suffix: str) -> None:
    """Read a file and look at what comes back."""
    answer = conversion_pool._pool().convert(
        Frame({"suffix": suffix, "name": f"a/b{suffix}", "timeout": SECONDS, "hidden": True}, data), SECONDS
    )
    if reason := answer.header.get("error"):
        is_sentence(reason)
        return
    title, text = answer.header["title"], answer.data.decode("utf-8", "surrogatepass")
    assert title.strip()
    assert title.splitlines() == [title]
    assert len(title) <= 300
    assert not CONTROLS.search(title + text), CONTROLS.findall(title + text)[:9]
    json.dumps(answer.header["metadata"])
    Document("a", text, title, answer.header["metadata"]).digest()


def is_sentence(reason: str) -> None:
    assert reason.strip()
    assert "\n" not in reason
    assert len(reason) < 500
    assert "could not be read: " not in reason, f"no reader should raise {reason}"
    assert "Traceback" not in reason
    assert not any(unicodedata.category(one) == "Cc" for one in reason), reason


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(data=st.data())
@fuzzing
def test_a_file_that_was_altered_is_read_or_refused_in_one_sentence(suffix: str, data: st.DataObject) -> None:
    check(data.draw(altered(suffix)), suffix)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_fuzzing_starts_from_is_read_or_refused(suffix: str) -> None:
    assert seeds(suffix)
    for data in seeds(suffix):
        check(data, suffix)


@pytest.mark.thorough
@pytest.mark.parametrize("name", LARGE)
def test_a_large_hostile_file_is_read_or_refused_in_time(name: str) -> None:
    conversion_pool.rest()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    check(LARGE[name], Path(name).suffix)
    conversion_pool.rest()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < CPU_SECONDS


# Sources of many documents


def consume(path: Path, form: str | None = None) -> int:
    """Read a source as an index does; return how many documents it has."""
    count, reasons = 0, []
    try:
        for item in open_source(str(path), reading=ReadingOptions(form=form)).entries():
            if isinstance(item, Failure | LeftOut):
                reasons.append(item.reason)
                continue
            try:
                one = item.load() if isinstance(item, Entry) else item
                one.digest()
                count += 1
            except SourceError as error:
                reasons.append(str(error))
    except DocsimError as error:
        reasons.append(str(error))
    for reason in reasons:
        is_sentence(reason)
    return count


TABLES = [
    b"id,title,text\n1,Soup,Boil the lentils\n2,\"Keys\nand locks\",Sign them\n",
    b"id;text\n\xff\xfe;\"open\n3;\x1b]0;x\x07\n",
    b"\xef\xbb\xbfid\ttext\n1\t\"\"\"\"\n",
    b'{"id": "a", "text": "Boil"}\n{"id": 1e999, "text": "x", "m": {"a": [1, {"b": null}]}}\n\n{"id": "\\ud800"}\n',
]  # fmt: skip


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".csv.gz"])
@given(data=st.data())
@fuzzing
def test_records_that_were_altered_are_read_or_refused(
    suffix: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = data.draw(tables())
    if suffix.endswith(".gz"):
        content = gzip.compress(content)
        cut = data.draw(st.integers(0, 12))
        content = content[: len(content) - cut] if cut < 10 else content[:cut] + b"\xff" + content[cut:]
    file = tmp_path_factory.mktemp("tables", numbered=True) / f"t{suffix}"
    file.write_bytes(content)
    consume(file)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    found = draw(st.sampled_from(TABLES))
    pieces = st.sampled_from([*PIECES, b",", b";", b"\t", b'"', b'""', b"\n", b'{"id": ', b'"text": "', b"}\n"])
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(found)))
        found = found[:place] + draw(pieces) * draw(st.sampled_from([1, 1, 3, 300])) + found[place:]
    return found


MAIL = b"From a@b Mon Jan  1 00:00:00 2024\nFrom: a@b\nSubject: Soup\nMessage-ID: <1@b>\n\nBoil.\n\n"
EXPORTS: dict[str, dict[str, bytes]] = {
    "slack": {
        "users.json": b'[{"id": "U1", "name": "a"}]',
        "channels.json": b'[{"id": "C1", "name": "soup"}]',
        "soup/2024-01-01.json": b'[{"ts": "1.2", "user": "U1", "text": "Boil <@U1>", "thread_ts": "1.2"}]',
    },
    "mail": {"all.mbox": MAIL * 2, "b.eml": MAIL},
    "notion": {
        "Soup 0123456789abcdef0123456789abcdef.md": b"# Soup\n\nTags: a\n\nBoil.",
        "T 1123456789abcdef0123456789abcdef.csv": b"Name,Tags\nA,b\n",
    },
    "obsidian": {
        ".obsidian/app.json": b"{}",
        "a.md": b"---\ntags: [x]\n---\n[[b]] ![[a]]",
        "b.canvas": b'{"nodes": [{"id": "1", "type": "text", "text": "t"}], "edges": []}',
    },
    "tickets": {"t.json": b'{"issues": [{"key": "A-1", "fields": {"summary": "S", "description": "D"}}]}'},
    "mediawiki": {
        "w.xml": b"<mediawiki><page><title>A</title><ns>0</ns><id>1</id><revision><text>{{b|'''c'''}}</text></revision>"
        b"</page></mediawiki>"
    },
    "openapi": {"o.json": b'{"openapi": "3.0.0", "info": {"title": "A"}, "paths": {"/a": {"get": {"summary": "s"}}}}'},
    "site": {"mkdocs.yml": b"site_name: A\nnav: [{B: b.md}]\n", "docs/b.md": b"# B\n--8<-- 'b.md'\n"},
    "confluence": {
        "entities.xml": b"<hibernate-generic><object class='Page'><id name='id'>1</id>"
        b"<property name='title'>A</property></object></hibernate-generic>"
    },
    "files": {"a/../../b.md": b"# B", "c.html": b"<p>c", "d.zip": b"PK\x05\x06" + bytes(18)},
}


def written(place: Path, files: dict[str, bytes]) -> Path:
    """Write an export: a single file as it is, several as an archive."""
    if len(files) > 1:
        return zipped(place / "export.zip", files)
    ((name, content),) = files.items()
    (place / name).write_bytes(content)
    return place / name


@pytest.mark.parametrize("form", EXPORTS)
def test_what_fuzzing_starts_from_is_such_an_export(form: str, tmp_path: Path) -> None:
    assert consume(written(tmp_path, EXPORTS[form]), form)


@pytest.mark.parametrize("form", EXPORTS)
@given(data=st.data())
@fuzzing
def test_an_export_that_was_altered_is_read_or_refused(
    form: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pieces = [*PIECES, b'": ', b"[[", b"{{", b"|", b"null", b"{}", b"[]", b",", *seeds(".html")]
    files = {}
    for name, content in EXPORTS[form].items():
        start = data.draw(st.integers(0, len(content)))
        new, rest = b"", content[start:]
        if data.draw(st.booleans()):
            new, rest = data.draw(st.sampled_from(pieces)), rest[data.draw(st.integers(0, 9)) :]
        files[name] = content[:start] + new + rest
    consume(written(tmp_path_factory.mktemp("exports", numbered=True), files), form)


@pytest.fixture(autouse=True, scope="module")
def _resting() -> Iterator[None]:
    yield
    conversion_pool.rest()
