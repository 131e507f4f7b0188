from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest
from opened import store_of, texts_of
from told import Told

from docsim.encoding.encoder import Encoder
from docsim.engine.local import writer
from docsim.engine.records import SourceName
from docsim.errors import SourceError
from docsim.index import Index
from docsim.ingest.sources import open_source
from docsim.maintenance import verify
from docsim.models import Document, Entry, Failure, SyncReport

A = SourceName("python", "/a", "a")
B = SourceName("python", "/b", "b")


@pytest.fixture(scope="module")
def encoder(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


@pytest.fixture
def index(tmp_path: Path, encoder: Encoder) -> Iterator[Index]:
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        yield index
        assert verify.problems(index) == []


def texts(index: Index) -> dict[str, str]:
    return texts_of(index)


def held(index: Index) -> dict[tuple[str, str], str]:
    """Return the text by source and path."""
    rows = store_of(index).rows(
        "SELECT name, path, text FROM origins JOIN sources s ON s.number = source"
        " JOIN documents d ON d.number = document"
    )
    return {(name, path): text for name, path, text in rows}


def given(**texts: str) -> list[Document]:
    return [Document(id.replace("__", "/"), text) for id, text in texts.items()]


def unreadable(path: str, digest: str = "new") -> Entry:
    def load() -> Document:
        raise SourceError("the file is encrypted")

    return Entry(path, digest, load)


def folder(path: Path, **files: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (path / f"{name}.txt").write_text(text)
    return path


def sync_folder(index: Index, path: Path, *, prune: bool | None = None) -> SyncReport:
    source = open_source(str(path))
    name = SourceName(source.kind, source.location, source.name)
    return index.sync(source.entries(), source=name, prune=prune)


# What one source does


def test_a_sync_adds_changes_keeps_and_removes(index: Index) -> None:
    index.sync(given(a="one", b="two", c="three"))
    report = index.sync(given(a="one", b="zwei", d="four"))
    assert report == SyncReport(added=1, changed=1, unchanged=1, removed=1)
    assert texts(index) == {"a": "one", "b": "zwei", "d": "four"}


def test_a_title_or_metadata_alone_is_a_change(index: Index) -> None:
    index.sync([Document("a", "x"), Document("b", "x")])
    assert index.sync([Document("a", "x", title="T"), Document("b", "x", metadata={"n": 1})]).changed == 2


def test_what_is_unchanged_is_not_read(index: Index) -> None:
    index.sync([Entry("a", "1", lambda: Document("a", "one"))])
    assert index.sync([unreadable("a", digest="1")]) == SyncReport(unchanged=1)


def test_other_bytes_that_read_the_same_are_no_change(index: Index) -> None:
    index.sync([Entry("a", "1", lambda: Document("a", "one"))])
    assert index.sync([Entry("a", "2", lambda: Document("a", "one"))]) == SyncReport(unchanged=1)
    assert index.sync([unreadable("a", digest="2")]) == SyncReport(unchanged=1)


def test_a_path_that_comes_twice_is_a_failure_and_the_first_counts(index: Index) -> None:
    report = index.sync([*given(a="first"), *given(a="second")])
    assert (report.added, [failure.path for failure in report.failures]) == (1, ["a"])
    assert texts(index) == {"a": "first"}


def test_a_document_that_is_removed_and_comes_back_is_found(index: Index) -> None:
    for documents in (given(a="one", b="two"), given(b="two"), given(a="one", b="two")):
        index.sync(documents)
    assert {hit.id for hit in index.search("one").hits} == {"a", "b"}


def test_documents_of_several_batches_all_go_in(index: Index) -> None:
    index.batch = 300
    report = index.sync([Document(f"d{i}", f"text {i}") for i in range(25)])
    assert report.added == 25
    assert len(index.search("text", 50).hits) == 25


def test_progress_is_told_of_every_document(index: Index) -> None:
    told = Told()
    index.sync([*given(a="x", b="y"), Failure("c", "why"), *given(a="twice")], progress=told)
    assert told.advanced == [1, 1, 1, 1]


def test_an_error_of_the_source_itself_keeps_what_was_committed(index: Index) -> None:
    index.batch = 50

    def broken() -> Iterator[Document]:
        yield from given(a="one", b="two", c="three")
        raise SourceError("the drive is gone")

    with pytest.raises(SourceError, match="drive"):
        index.sync(broken())
    assert texts(index) == {"a": "one", "b": "two", "c": "three"}
    assert store_of(index).value("SELECT finished FROM sources") is None
    assert index.sync(given(a="one", b="two", c="three")) == SyncReport(unchanged=3)


# What cannot be read


def test_a_document_that_cannot_be_read_keeps_its_old_version_and_is_tried_again(index: Index) -> None:
    index.sync([Entry("a", "1", lambda: Document("a", "old")), *given(b="two")])
    for _ in range(2):
        report = index.sync([unreadable("a", digest="2"), *given(b="two")])
        assert report.failures == (Failure("a", "the file is encrypted"),)
        assert texts(index) == {"a": "old", "b": "two"}
    assert index.sync([Entry("a", "2", lambda: Document("a", "new")), *given(b="two")]).changed == 1
    assert store_of(index).value("SELECT count(*) FROM failures") == 0


def test_a_failure_is_forgotten_when_its_document_vanishes(index: Index) -> None:
    index.sync([unreadable("a"), *given(b="two")])
    index.sync(given(b="two"))
    assert store_of(index).value("SELECT count(*) FROM failures") == 0


def test_a_failure_with_any_characters_is_recorded(index: Index) -> None:
    report = index.sync([Failure("a\udcff\0", "bad byte \udcff\0"), *given(b="two")])
    assert store_of(index).rows("SELECT path, reason FROM failures") == [("a\ufffd\ufffd", "bad byte \ufffd\ufffd")]
    assert report.failures[0].reason == "bad byte \ufffd\ufffd"


# Pruning


def test_nothing_is_removed_when_a_source_is_empty_unless_told_to(index: Index) -> None:
    index.sync(given(a="one", b="two"))
    assert index.sync([]) == SyncReport(kept=2)
    assert index.sync([], prune=True) == SyncReport(removed=2)
    assert texts(index) == {}


def test_standard_input_removes_nothing_unless_told_to(index: Index) -> None:
    stdin = SourceName("stdin", "-", "stdin")
    index.sync(given(a="one", b="two"), source=stdin)
    assert index.sync(given(a="one"), source=stdin) == SyncReport(unchanged=1, kept=1)
    assert index.sync(given(a="one"), source=stdin, prune=True) == SyncReport(unchanged=1, removed=1)


def test_nothing_is_removed_when_a_failure_does_not_tell_its_document(index: Index) -> None:
    index.sync(given(a="one", b="two"))
    broken = Failure("file:3", "not JSON", identified=False)
    assert index.sync([*given(a="one"), broken]).kept == 1
    assert index.sync([*given(a="one"), Failure("b", "unreadable")]).kept == 0
    assert texts(index) == {"a": "one", "b": "two"}


def test_no_prune_keeps_what_vanished_until_it_is_pruned(index: Index) -> None:
    index.sync(given(a="one", b="two"))
    assert index.sync(given(a="one"), prune=False) == SyncReport(unchanged=1, kept=1)
    assert index.sync(given(a="one")) == SyncReport(unchanged=1, removed=1)


# Two sources


def test_two_sources_do_not_remove_each_others_documents(index: Index) -> None:
    index.sync(given(a="one"), source=A)
    index.sync(given(b="two"), source=B)
    index.sync(given(c="three"), source=A)
    assert texts(index) == {"b": "two", "c": "three"}


def test_a_path_that_two_sources_read_differently_is_set_apart(index: Index) -> None:
    index.sync(given(x="soup"), source=A)
    index.sync(given(x="keys"), source=B)
    assert texts(index) == {"x": "soup", "b/x": "keys"}
    index.sync(given(x="keys 2"), source=B)
    index.sync(given(x="soup 2"), source=A)
    assert texts(index) == {"x": "soup 2", "b/x": "keys 2"}


def test_a_path_that_two_sources_read_alike_is_one_document_until_neither_has_it(index: Index) -> None:
    index.sync(given(x="soup", y="y"), source=A)
    assert index.sync(given(x="soup", z="z"), source=B) == SyncReport(added=1, unchanged=1)
    assert texts(index) == {"x": "soup", "y": "y", "z": "z"}
    index.sync(given(y="y"), source=A)
    assert texts(index) == {"x": "soup", "y": "y", "z": "z"}
    index.sync(given(z="z"), source=B)
    assert texts(index) == {"y": "y", "z": "z"}


def test_a_shared_document_that_one_source_changes_stays_as_it_is_for_the_other(index: Index) -> None:
    index.sync(given(x="soup"), source=A)
    index.sync(given(x="soup"), source=B)
    index.sync(given(x="keys"), source=B)
    assert texts(index) == {"x": "soup", "b/x": "keys"}
    assert index.sync(given(x="soup"), source=A) == SyncReport(unchanged=1)
    assert texts(index) == {"x": "soup", "b/x": "keys"}


def test_a_shared_document_that_both_sources_change_alike_loses_nothing(index: Index) -> None:
    for text in ("soup", "keys"):
        for source in (A, B):
            index.sync(given(x=text), source=source)
    assert set(texts(index).values()) == {"keys"}
    index.sync(given(other="other"), source=A)
    index.sync(given(other="other"), source=B)
    assert texts(index) == {"other": "other"}


def test_an_id_that_was_set_apart_may_be_a_path_of_the_same_source(index: Index) -> None:
    index.sync(given(x="soup"), source=A)
    report = index.sync(given(x="keys", b__x="year"), source=B)
    assert (report.added, report.failures) == (2, ())
    assert sorted(texts(index).values()) == ["keys", "soup", "year"]
    assert index.sync(given(x="keys", b__x="year"), source=B) == SyncReport(unchanged=2)


def test_paths_of_one_source_that_came_to_share_a_document_part_again(index: Index) -> None:
    index.sync(given(x="soup"), source=A)
    index.sync(given(x="keys"), source=B)
    index.sync(given(x="keys", b__x="keys"), source=B)
    index.sync(given(x="one", b__x="two"), source=B)
    assert sorted(texts(index).values()) == ["one", "soup", "two"]


@pytest.mark.parametrize("batch", [1, 1_000_000])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_text_is_kept_that_was_copied_to_a_path_while_it_was_changed_at_another(
    index: Index, reverse: bool, batch: int
) -> None:
    index.batch = batch
    index.sync(given(x="soup"), source=A)
    index.sync(given(b__x="keys"), source=B)
    documents = given(x="keys", b__x="year")
    assert index.sync(documents[::-1] if reverse else documents, source=B) == SyncReport(added=1, changed=1)
    assert held(index) == {("a", "x"): "soup", ("b", "x"): "keys", ("b", "b/x"): "year"}
    assert index.sync(documents, source=B) == SyncReport(unchanged=2)


def test_a_document_that_was_lost_by_an_older_docsim_is_named_and_comes_back(index: Index) -> None:
    index.sync(given(x="soup"), source=A)
    index.sync(given(x="keys", b__x="year"), source=B)
    lost, shared = (
        store_of(index).value("SELECT number FROM documents WHERE text = ?", text) for text in ("keys", "year")
    )
    with writer.opened(index.path, wait=False) as store, store.writing():
        store.execute("UPDATE origins SET document = ? WHERE document = ?", shared, lost)
        store.remove(lost)
    (problem,) = verify.problems(index)
    assert "stands for files that read differently" in problem
    index.sync(given(x="keys", b__x="year"), source=B)
    assert held(index) == {("a", "x"): "soup", ("b", "x"): "keys", ("b", "b/x"): "year"}


def test_a_source_that_reads_the_same_keeps_a_document_that_another_had_read_anew(index: Index) -> None:
    """The title comes from where a file lies, so both read the same bytes to documents that differ."""
    for source in (A, B):
        index.sync([Entry("x", "1", partial(Document, "x", "soup", title=source.name))], source=source)
    assert held(index) == {("a", "x"): "soup", ("b", "x"): "soup"}


def test_sources_of_one_name_and_unlike_content_are_all_kept(index: Index) -> None:
    for number in range(4):
        index.sync(given(x=f"text {number}"), source=SourceName("python", f"/{number}", "same"))
    assert texts(index) == {"x": "text 0", "same/x": "text 1", "same-2/x": "text 2", "same-3/x": "text 3"}


# Folders that move or vanish


def test_moving_a_folder_changes_nothing(index: Index, tmp_path: Path) -> None:
    old = folder(tmp_path / "old" / "docs", a="one", b="two")
    sync_folder(index, old)
    shutil.copytree(old, tmp_path / "new" / "docs")
    shutil.rmtree(old)
    assert sync_folder(index, tmp_path / "new" / "docs") == SyncReport(unchanged=2)
    assert store_of(index).value("SELECT count(*) FROM sources") == 1


@pytest.mark.parametrize(("here", "is_moved"), [("ab", True), ("abc", True), ("a", False)])
def test_a_folder_of_the_same_name_with_half_of_the_files_is_the_one_that_is_gone(
    index: Index, tmp_path: Path, here: str, is_moved: bool
) -> None:
    old = folder(tmp_path / "old" / "docs", a="one", b="two", c="three", d="four")
    sync_folder(index, old)
    shutil.rmtree(old)
    contents = {"a": "one", "b": "two", "c": "three"}
    report = sync_folder(index, folder(tmp_path / "new" / "docs", **{name: contents[name] for name in here}))
    assert report.removed == (4 - len(here) if is_moved else 0)
    assert store_of(index).value("SELECT count(*) FROM sources") == (1 if is_moved else 2)


def test_another_folder_of_the_same_name_does_not_remove_one_that_is_gone(index: Index, tmp_path: Path) -> None:
    old = folder(tmp_path / "stick" / "docs", a="one", b="two")
    sync_folder(index, old)
    shutil.rmtree(old)
    sync_folder(index, folder(tmp_path / "home" / "docs", c="three"))
    assert texts(index) == {"a.txt": "one", "b.txt": "two", "c.txt": "three"}


def test_a_file_does_not_remove_one_beside_it_that_is_gone(index: Index, tmp_path: Path) -> None:
    path = folder(tmp_path / "docs", a="one", b="two")
    sync_folder(index, path / "a.txt")
    (path / "a.txt").unlink()
    sync_folder(index, path / "b.txt")
    assert texts(index) == {"a.txt": "one", "b.txt": "two"}


def test_a_document_of_a_folder_that_is_gone_is_taken_over(index: Index, tmp_path: Path) -> None:
    old = folder(tmp_path / "old", a="one")
    sync_folder(index, old)
    shutil.rmtree(old)
    sync_folder(index, folder(tmp_path / "new", a="two"))
    assert texts(index) == {"a.txt": "two"}


def test_a_folder_whose_document_was_taken_over_gets_its_own_when_it_is_back(index: Index, tmp_path: Path) -> None:
    old = folder(tmp_path / "old", a="one")
    sync_folder(index, old)
    shutil.rmtree(old)
    sync_folder(index, folder(tmp_path / "new", a="two"))
    sync_folder(index, folder(tmp_path / "old", a="one"))
    assert texts(index) == {"a.txt": "two", "old/a.txt": "one"}


def test_a_folder_whose_name_is_no_utf8_is_one_source(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9"
    try:
        folder(path, a="one")
    except OSError:
        pytest.skip("the file system takes no such names")
    sync_folder(index, path)
    assert sync_folder(index, path) == SyncReport(unchanged=1)
    sync_folder(index, folder(tmp_path / "caf\udcea", a="two"))
    assert sorted(texts(index).values()) == ["one", "two"]


# Dry runs


def dry(index: Index, documents: Iterable[Document | Entry | Failure], source: SourceName = A) -> SyncReport:
    return index.sync(documents, source=source, dry_run=True)


CHANGES: dict[str, Callable[[], list[Document | Entry | Failure]]] = {
    "nothing": lambda: [],
    "the same": lambda: [*given(a="one", b="two")],
    "a change": lambda: [*given(a="one", b="zwei", c="three")],
    "failures": lambda: [*given(a="one"), unreadable("b"), Failure("q", "why", identified=False)],
    "twice": lambda: [*given(a="one", b="two"), *given(b="two")],
    "set apart": lambda: [*given(x="keys", a__x="year")],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_dry_run_counts_what_a_sync_then_does_and_writes_nothing(index: Index, change: str) -> None:
    index.sync(given(x="soup"), source=B)
    index.sync(given(a="one", b="two"), source=A)
    revision, content = store_of(index).revision(), (index.path / "index.db").read_bytes()
    planned = dry(index, CHANGES[change]())
    assert (store_of(index).revision(), (index.path / "index.db").read_bytes()) == (revision, content)
    assert planned == index.sync(CHANGES[change](), source=A)
