from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from effort import examples
from filelock import FileLock
from opened import store_of

from docsim import cores
from docsim.encoding.encoder import Encoder, fingerprint
from docsim.engine.local import generations
from docsim.engine.records import SourceName
from docsim.errors import DocsimError, EncoderError, FingerprintMismatch, IndexLocked, StoreError, UsageError
from docsim.index import Index
from docsim.ingest import passages
from docsim.ingest.sources import open_source
from docsim.models import MODES, Document, Mode, SearchResult, SyncReport
from docsim.search import searcher, side_by_side
from docsim.search.retrieval import CANDIDATES
from docsim.search.searcher import PASSAGES_PER_HIT

TEXTS = {
    "soup": "Boil the lentils until the soup is soft, then search the garden for salt and water.",
    "keys": "Rotate the signing keys every year and report an error to the team on leave.",
    "restore": "Restore the database from a backup after a server error and deploy it again.",
    "ticket": "Book a train ticket for the team and reset your account password.",
}
HALF = 5e-3  # two embeddings of norm 1 to float16 differ from an inner product of 1 by less


@pytest.fixture(scope="module")
def encoder(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


@pytest.fixture
def index(tmp_path: Path, encoder: Encoder) -> Iterator[Index]:
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        index.sync([Document(id, text, title=id.title()) for id, text in TEXTS.items()])
        yield index


@pytest.fixture
def other_encoder(tiny_encoder_dir: Path, tmp_path: Path, encoder: Encoder) -> Encoder:
    """An encoder that reads 16 tokens only, which makes it another one."""
    path = tmp_path / "other"
    shutil.copytree(tiny_encoder_dir, path)
    manifest = json.loads((path / "manifest.json").read_text())
    mark = fingerprint(manifest["files"], preprocessing=encoder._preprocessing, max_tokens=16)
    manifest |= {"max_tokens": 16, "name": "other", "fingerprint": mark}
    (path / "manifest.json").write_text(json.dumps(manifest))
    return Encoder.load(path)


def long_text(sections: int) -> str:
    words = " ".join(TEXTS.values()).split()
    return "\n\n".join(f"# Part {i}\n\n" + " ".join(words[i % 40 :] * 3) for i in range(sections))


def ids(result: SearchResult) -> list[str]:
    return [hit.id for hit in result.hits]


# Answers


@pytest.mark.parametrize("id", TEXTS)
def test_a_document_finds_itself_first_with_similarity_one(index: Index, id: str) -> None:
    hit = index.similar_to(Document("query", TEXTS[id], title=id.title()), mode="dense").hits[0]
    assert (hit.rank, hit.id, hit.title) == (1, id, id.title())
    assert hit.similarity == pytest.approx(1, abs=HALF)
    assert hit.score == pytest.approx(1, abs=HALF)


def test_a_long_document_finds_itself_first_with_similarity_one(index: Index) -> None:
    document = Document("long", long_text(12), title="Long")
    index.sync([document], source=SourceName("python", "other", "other"))
    hit = index.similar_to(document, mode="dense").hits[0]
    assert hit.id == "long"
    assert hit.score == pytest.approx(1, abs=HALF)


def test_a_hit_shows_its_best_passages_as_they_stand_in_the_text(index: Index) -> None:
    text = long_text(12)
    index.sync([Document("long", text)], source=SourceName("python", "other", "other"))
    hit = next(hit for hit in index.search("restore a backup of the database").hits if hit.id == "long")
    assert len(hit.passages) == PASSAGES_PER_HIT
    assert [one.text for one in hit.passages] == [text[one.start : one.end] for one in hit.passages]
    similarities = [one.similarity for one in hit.passages]
    assert similarities == sorted(similarities, reverse=True)
    assert hit.similarity == similarities[0]


def test_similarities_are_inner_products_of_the_encoders_embeddings(index: Index, encoder: Encoder) -> None:
    query = "restore the database"
    embedded = encoder.encode([query, *(f"{id.title()}\n{text}" for id, text in TEXTS.items())])
    expected = dict(zip(TEXTS, embedded[1:] @ embedded[0], strict=True))
    for hit in index.search(query).hits:
        assert hit.similarity == pytest.approx(float(expected[hit.id]), abs=HALF)


def test_an_answer_says_who_gave_it(index: Index, encoder: Encoder) -> None:
    result = index.search("soup", 2)
    assert (result.query, result.mode, result.generation) == ("soup", "hybrid", 1)
    assert result.encoder == encoder.fingerprint
    assert 0 < result.took_ms < 60_000
    assert [hit.rank for hit in result.hits] == [1, 2]


@pytest.mark.parametrize("mode", MODES)
def test_one_query_answers_as_it_does_among_many(index: Index, monkeypatch: pytest.MonkeyPatch, mode: Mode) -> None:
    monkeypatch.setattr(side_by_side, "TOGETHER", 4)
    monkeypatch.setattr(cores, "available", lambda: 3)
    words = " ".join(TEXTS.values()).split()
    queries = ["soup", "keys of the server", long_text(3), *(" ".join(words[i : i + i % 7 + 1]) for i in range(20))]
    many = index.search_many(queries, 4, mode=mode)
    assert [one.query for one in many] == queries
    for query, among in zip(queries, many, strict=True):
        assert index.search(query, 4, mode=mode).hits == among.hits  # to the last bit of their scores
    assert index.search_many([], mode=mode) == []


def test_all_queries_of_a_call_are_answered_from_one_state(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody writes while the first queries are answered, before other threads look at the index."""
    monkeypatch.setattr(side_by_side, "TOGETHER", 2)
    monkeypatch.setattr(cores, "available", lambda: 2)
    written: list[SyncReport] = []

    def writing_first(*arguments: Any, **options: Any) -> list[SearchResult]:
        found = searcher.search(*arguments, **options)
        if not written:
            with Index.open(index.path) as other:
                written.append(other.sync([Document("late", "soup", title="Soup")], prune=True))
        return found

    monkeypatch.setattr("docsim.search.side_by_side.search", writing_first)
    found = index.search_many(["soup"] * 9, 4)
    assert written[0].added == 1
    assert {tuple(ids(one)) for one in found} == {tuple(ids(found[0]))}
    assert set(ids(found[0])) == set(TEXTS)
    assert ids(index.search("soup", 4)) == ["late"]


@pytest.mark.parametrize("k", [1, 3, 4, 5, 1000])
def test_k_hits_come_back_whenever_k_documents_exist(index: Index, k: int) -> None:
    assert len(index.search("soup", k).hits) == min(k, 4)
    assert len(index.similar("soup", k).hits) == min(k, 3)


def test_k_hits_come_back_though_one_document_holds_all_nearest_passages(index: Index) -> None:
    crowd = Document("crowd", "\n\n".join(f"# {i}\n\n" + "soup " * 200 for i in range(2 * CANDIDATES)))
    index.sync([crowd], source=SourceName("python", "crowd", "crowd"))
    assert len(passages.split(crowd.text)) > CANDIDATES
    assert len(index.search("soup", 5).hits) == 5
    assert len(index.similar("crowd", 4).hits) == 4


def test_an_empty_index_answers_with_no_hits(tmp_path: Path, encoder: Encoder) -> None:
    with Index.create(tmp_path / "empty", encoder=encoder) as empty:
        assert empty.search("soup").hits == ()
        assert empty.similar_to(Document("a", "soup")).hits == ()


def test_documents_without_text_are_found_by_their_title(tmp_path: Path, encoder: Encoder) -> None:
    with Index.create(tmp_path / "bare", encoder=encoder) as bare:
        bare.sync([Document("a", "", title="lentils soup"), Document("b", "", title="train ticket"), Document("c", "")])
        assert ids(bare.search("ticket"))[0] == "b"
        assert bare.search("ticket").hits[0].passages[0].text == ""


@pytest.mark.parametrize("id", TEXTS)
def test_similar_never_returns_the_document_itself(index: Index, id: str) -> None:
    assert sorted(ids(index.similar(id))) == sorted(set(TEXTS) - {id})


def test_similar_returns_a_copy_of_the_document_under_another_id(index: Index) -> None:
    index.sync([Document("copy", TEXTS["soup"], title="Soup")], source=SourceName("python", "c", "c"))
    hit = index.similar("soup", 1, mode="dense").hits[0]
    assert (hit.id, round(hit.score, 2)) == ("copy", 1.0)


def test_a_file_that_is_indexed_is_not_returned_for_itself(tmp_path: Path, index: Index) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in ("a.txt", "b.txt", "caf\udce9.txt"):
        (folder / name).write_text(f"soup {name.isascii()}")
    source = open_source(str(folder))
    index.sync(source.entries(), source=SourceName(source.kind, source.location, source.name))
    for path, id in ((folder / "a.txt", "a.txt"), (folder / "caf\udce9.txt", "caf\\xe9.txt")):
        assert index.has(id)
        found = ids(index.similar_to(Document(path.name, path.read_text()), file=path))
        assert id not in found
        assert "b.txt" in found


@pytest.mark.parametrize("text", ["", "  \n\t "])
def test_a_blank_query_is_refused(index: Index, text: str) -> None:
    with pytest.raises(UsageError, match="blank"):
        index.search(text)


@pytest.mark.parametrize("ask", [lambda i: i.search("a", 0), lambda i: i.similar("soup", 0)])
def test_k_below_one_is_refused(index: Index, ask: Callable[[Index], object]) -> None:
    with pytest.raises(UsageError, match=r"a whole number from 1 to .*, got 0"):
        ask(index)


def test_an_unknown_id_is_refused_by_name(index: Index) -> None:
    with pytest.raises(UsageError, match="'nowhere'"):
        index.similar("nowhere")
    assert not index.has("nowhere")


# Writes are seen


def test_a_reader_opened_before_a_write_sees_it_at_its_next_query(index: Index) -> None:
    with Index.open(index.path) as reader:
        reader.search("soup")
        index.sync([Document("new", "quite another page")], prune=False)
        assert "new" in ids(reader.search("page"))
        index.remove(["new"])
        assert "new" not in ids(reader.search("page"))


def test_a_reader_in_another_process_sees_a_write(index: Index, encoder: Encoder) -> None:
    code = (
        "import sys; from docsim import Document, Index\n"
        "with Index.open(sys.argv[1]) as index: index.sync([Document('new', 'page')], prune=False)"
    )
    assert "new" not in ids(index.search("page"))
    subprocess.run([sys.executable, "-c", code, str(index.path)], check=True)
    assert "new" in ids(index.search("page"))


def test_removing_tells_how_many_there_were(index: Index) -> None:
    assert index.remove(["soup", "keys", "soup", "nowhere"]) == 2
    assert sorted(ids(index.search("soup"))) == ["restore", "ticket"]


@pytest.mark.properties
def test_a_query_sees_one_committed_state_from_eight_threads(index: Index) -> None:
    """Every sync rewrites all documents in one transaction, so no answer may mix two versions."""

    def version(number: int) -> list[Document]:
        return [Document(id, f"{text} version {number}", metadata={"v": number}) for id, text in TEXTS.items()]

    def read() -> set[frozenset[int]]:
        seen = set()
        while not done.is_set():
            hits = index.search("soup", 4).hits
            assert {f"version {hit.metadata['v']}" in hit.passages[0].text for hit in hits} == {True}
            seen.add(frozenset(hit.metadata["v"] for hit in hits))
            assert len(hits) == 4
        return seen

    index.sync(version(0))
    done = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(read) for _ in range(8)]
        try:
            for number in range(1, examples(5, 16)):
                index.sync(version(number))
        finally:
            done.set()
        seen = set().union(*(reader.result() for reader in readers))
    assert {len(versions) for versions in seen} == {1}
    assert len(seen) > 1


def test_searching_from_many_threads_leaves_no_files_open(index: Index) -> None:
    def once() -> None:
        thread = threading.Thread(target=index.search, args=("soup",))
        thread.start()
        thread.join()

    once()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(30):
        once()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 3


def test_a_second_writer_is_refused_at_once_and_a_reader_is_not(index: Index) -> None:
    with FileLock(index.path / "write.lock"):
        with pytest.raises(IndexLocked, match="another process is writing"):
            index.sync([Document("a", "b")])
        with pytest.raises(IndexLocked):
            index.remove(["soup"])
        assert len(index.search("soup").hits) == 4


def test_a_sync_inside_a_sync_is_refused_and_loses_nothing(index: Index) -> None:
    def documents() -> Iterator[Document]:
        yield Document("a", "first")
        with pytest.raises(IndexLocked):
            index.sync([Document("b", "inner")])

    assert index.sync(documents(), prune=False).added == 1


# Opening


def test_an_index_is_opened_again_as_it_was_left(index: Index) -> None:
    expected = index.search("soup").hits
    index.close()
    index.close()
    with Index.open(str(index.path)) as reopened:
        assert reopened.search("soup").hits == expected


def test_an_index_can_be_moved(index: Index, tmp_path: Path) -> None:
    expected = index.search("soup").hits
    index.close()
    index.path.rename(tmp_path / "moved")
    with Index.open(tmp_path / "moved") as moved:
        assert moved.search("soup").hits == expected
        assert moved.sync([Document("a", "b")], prune=False).added == 1


def test_creating_an_index_that_is_there_opens_it(index: Index, encoder: Encoder) -> None:
    with Index.create(index.path, encoder=encoder) as again:
        assert len(again.search("soup").hits) == 4
    with Index.create(index.path) as again:
        assert again.encoder.fingerprint == encoder.fingerprint


@pytest.mark.parametrize("make", [Index.open, Index.create])
def test_another_encoder_is_refused_by_both_fingerprints(
    index: Index, other_encoder: Encoder, make: Callable[..., Index]
) -> None:
    with pytest.raises(FingerprintMismatch) as caught:
        make(index.path, encoder=other_encoder)
    for encoder in (index.encoder, other_encoder):
        assert encoder.fingerprint[:12] in str(caught.value)


@pytest.mark.parametrize("ask", [lambda i: i.search("a"), lambda i: i.sync([Document("a", "b")])])
def test_an_encoder_tampered_with_inside_the_index_is_refused(index: Index, ask: Callable[[Index], object]) -> None:
    tower = generations.directory(index.path, 1) / "encoder" / "tower.onnx"
    content = bytearray(tower.read_bytes())
    content[-20] ^= 1
    tower.write_bytes(content)
    with Index.open(index.path) as reopened, pytest.raises(EncoderError, match="damaged"):
        ask(reopened)
    assert store_of(index).value("SELECT count(*) FROM documents") == 4


def test_an_encoder_replaced_inside_the_index_is_refused(index: Index, other_encoder: Encoder) -> None:
    folder = generations.directory(index.path, 1) / "encoder"
    shutil.rmtree(folder)
    shutil.copytree(other_encoder.path, folder)
    with Index.open(index.path) as reopened, pytest.raises(FingerprintMismatch):
        reopened.search("soup")


def test_a_directory_without_an_index_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StoreError, match="create it first") as caught:
            Index.open(path)
        assert caught.value.hint == f"docsim index SOURCE --index {path}"
    assert not (tmp_path / "nowhere").exists()


def test_a_directory_with_other_files_does_not_become_an_index(tmp_path: Path, encoder: Encoder) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="other files"):
        Index.create(tmp_path, encoder=encoder)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["write.lock", ".writable", "generations"])
def test_a_directory_left_by_a_start_that_was_killed_becomes_an_index(
    tmp_path: Path, encoder: Encoder, name: str
) -> None:
    path = tmp_path / "index"
    path.mkdir()
    (path / name).mkdir() if name == "generations" else (path / name).touch()
    with Index.create(path, encoder=encoder) as index:
        assert index.search("soup").hits == ()


def test_a_path_below_a_file_is_refused(tmp_path: Path, encoder: Encoder) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DocsimError, match="could not write"):
        Index.create(tmp_path / "file" / "index", encoder=encoder)
