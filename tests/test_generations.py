from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import faiss
import numpy as np
import pytest
from opened import faiss_file, generation_of, store_of, write_faiss_file

from docsim.encoding.encoder import Encoder, fingerprint
from docsim.engine.local import encoders, generations
from docsim.engine.local.store import LocalGeneration, Store
from docsim.engine.local.vectors import VectorIndex
from docsim.errors import EncoderError, FingerprintMismatch, StoreError
from docsim.filters.parser import parse
from docsim.index import Index
from docsim.models import Document


@pytest.fixture(scope="module")
def encoder(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


@pytest.fixture
def index(tmp_path: Path, encoder: Encoder) -> Iterator[Index]:
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        index.sync(documents(30))
        yield index


def documents(count: int, *, version: int = 0) -> list[Document]:
    return [Document(f"d{i}", f"text number {i} about soup, version {version}") for i in range(count)]


def written_snapshot(index: Index) -> Path:
    """Write a snapshot now; return its file."""
    write_faiss_file(index.path)
    return faiss_file(index)


def fresh_view(path: Path) -> generations.View:
    store = Store(path, writable=False)
    try:
        with store.reading():
            return generations.refreshed(store, path, None)
    finally:
        store.close()


@contextmanager
def writable(path: Path) -> Iterator[Store]:
    store = Store(path, writable=True)
    try:
        yield store
    finally:
        store.close()


def refreshed_twice(path: Path) -> list[bool]:
    """Write the snapshot where it is stale, twice; return whether it was written each time."""
    with writable(path) as store:
        return [generations.write_faiss_file(store, path) for _ in range(2)]


def assert_holds_what_is_stored(view: generations.View, path: Path) -> None:
    store = Store(path, writable=False)
    rows = list(store.vectors_after(1, 0))
    store.close()
    numbers, held = view.vectors.reconstruct()
    assert numbers.tolist() == [n for first, one in rows for n in range(first, first + len(one))]
    np.testing.assert_array_equal(held, np.concatenate([one for _, one in rows]).astype(np.float32))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {"deleted": Path.unlink, "truncated": truncate, "flipped": flip}


def test_a_view_without_a_snapshot_holds_what_is_stored(index: Index) -> None:
    assert_holds_what_is_stored(fresh_view(index.path), index.path)


def test_a_fresh_snapshot_holds_what_is_stored(index: Index) -> None:
    write_faiss_file(index.path)
    view = fresh_view(index.path)
    assert len(view.vectors.segments) == 1
    assert_holds_what_is_stored(view, index.path)


def test_what_was_added_changed_and_removed_after_a_snapshot_is_seen(index: Index) -> None:
    write_faiss_file(index.path)
    index.sync([*documents(10, version=1), *documents(20)[10:], Document("new", "quite new")])
    assert_holds_what_is_stored(fresh_view(index.path), index.path)
    assert len(fresh_view(index.path).vectors) == 21


def test_a_snapshot_taken_after_deletions_does_not_bring_them_back(index: Index) -> None:
    index.remove(["d0", "d29"])
    write_faiss_file(index.path)
    index.sync(documents(1), prune=False)
    assert_holds_what_is_stored(fresh_view(index.path), index.path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_snapshot_changes_no_answer(index: Index, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    expected = index.search("soup", 30).hits
    DAMAGES[damage](written_snapshot(index))
    with Index.open(index.path) as reopened, caplog.at_level(logging.WARNING):
        assert reopened.search("soup", 30).hits == expected
    assert "answering from the stored embeddings" in caplog.text


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_snapshot_can_be_written_anew(index: Index, damage: str) -> None:
    DAMAGES[damage](written_snapshot(index))
    write_faiss_file(index.path)
    view = fresh_view(index.path)
    assert len(view.vectors.segments) == 1
    assert_holds_what_is_stored(view, index.path)


def test_an_older_snapshot_put_back_in_place_of_the_newer_is_refused(index: Index) -> None:
    old = written_snapshot(index).read_bytes()
    index.sync(documents(30, version=1))
    written_snapshot(index).write_bytes(old)
    assert_holds_what_is_stored(fresh_view(index.path), index.path)


def test_writing_a_snapshot_leaves_no_other_file(index: Index) -> None:
    write_faiss_file(index.path)
    folder = written_snapshot(index).parent
    assert sorted(path.name.split(".")[0] for path in folder.iterdir()) == ["documents", "encoder", "index"]


def test_a_sync_writes_a_snapshot_when_much_is_new_and_not_for_little(index: Index) -> None:
    before = generation_of(index)
    index.sync([Document("new", "new")], prune=False)
    assert generation_of(index) == before
    index.sync([Document(f"new{i}", "new") for i in range(10)], prune=False)
    assert generation_of(index).snapshot_passage == 41


def test_a_sync_replaces_a_snapshot_that_cannot_be_read(index: Index) -> None:
    flip(written_snapshot(index))
    index.sync([Document("new", "new")], prune=False)
    assert len(fresh_view(index.path).vectors.segments) == 1


def test_a_snapshot_that_cannot_be_read_is_not_fresh_though_nothing_came_after_it(index: Index) -> None:
    path = written_snapshot(index)
    flip(path)
    assert refreshed_twice(index.path) == [True, False]
    generation = generation_of(index)
    VectorIndex.load(path, digest=str(generation.snapshot_digest), dim=generation.dim)


def test_a_snapshot_whose_writing_was_stopped_is_not_fresh(index: Index) -> None:
    write_faiss_file(index.path)
    with writable(index.path) as store, store.writing(visible=False):
        store.execute("UPDATE generations SET snapshot_digest = NULL")
    assert refreshed_twice(index.path) == [True, False]
    assert generation_of(index).snapshot_digest is not None


def test_a_snapshot_that_was_never_written_is_not_fresh(tmp_path: Path, encoder: Encoder) -> None:
    with Index.create(tmp_path / "empty", encoder=encoder) as empty:
        assert refreshed_twice(empty.path) == [True, False]


def test_deletions_make_a_snapshot_stale_like_additions(index: Index) -> None:
    write_faiss_file(index.path)
    index.remove(["d0", "d1"])  # of 30
    assert generation_of(index).snapshot_deletion == 0
    index.remove(["d2", "d3"])
    assert generation_of(index).snapshot_deletion == 4
    assert len(fresh_view(index.path).vectors.segments[0].ids) == 26


def test_only_so_many_filters_are_remembered(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generations, "MAX_FILTERS", 3)
    kept = []
    with writable(index.path) as store, store.reading():
        view = generations.refreshed(store, index.path, None)
        for number in (*range(7), 6):
            view.allowed(parse(f"id = 'd{number}'"), store.meeting)
            kept.append(len(view.known.allowed))
    assert kept == [1, 2, 3, 1, 2, 3, 1, 1]


def test_a_snapshot_replaced_while_it_is_read_is_read_as_it_was(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written_snapshot(index)
    generation = generation_of(index)
    newer = VectorIndex(generation.dim)
    seek = faiss.PyCallbackIOReader

    def replaced(read: Callable[[int], bytes]) -> object:
        newer.save(path)
        return seek(read)

    monkeypatch.setattr(faiss, "PyCallbackIOReader", replaced)
    assert generation.snapshot_digest is not None
    assert len(VectorIndex.load(path, digest=generation.snapshot_digest, dim=generation.dim)) == 30


def test_a_view_is_kept_while_nothing_is_written(index: Index) -> None:
    view = fresh_view(index.path)
    with store_of(index).reading():
        assert generations.refreshed(store_of(index), index.path, view) is view


def test_a_view_that_catches_up_shares_what_it_had(index: Index) -> None:
    view = fresh_view(index.path)
    index.sync([Document("new", "new")], prune=False)
    with store_of(index).reading():
        newer = generations.refreshed(store_of(index), index.path, view)
    assert newer.vectors.segments[0] is view.vectors.segments[0]
    assert (len(newer.vectors), len(view.vectors)) == (31, 30)


def test_a_view_that_catches_up_equals_one_made_anew(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generations, "_DOCUMENTS_A_SEGMENT", 3)
    view = fresh_view(index.path)
    for version in range(1, 6):
        index.sync(documents(40 - 5 * version, version=version))
        with store_of(index).reading():
            view = generations.refreshed(store_of(index), index.path, view)
        assert_holds_what_is_stored(view, index.path)


def test_an_index_without_a_live_generation_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path, writable=True)
    with store.reading(), pytest.raises(StoreError, match="never finished"):
        generations.refreshed(store, tmp_path, None)
    store.close()


def encoder_in(index: Index) -> tuple[Path, LocalGeneration]:
    generation = generation_of(index)
    return generations.directory(index.path, generation.number) / "encoder", generation


@pytest.mark.parametrize("name", ["tower.onnx", "tokenizer.json", "manifest.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_encoder_is_refused(index: Index, name: str, damage: str) -> None:
    folder, generation = encoder_in(index)
    DAMAGES[damage](folder / name)
    with pytest.raises(EncoderError, match=str(folder)):
        encoders.load(index.path, generation)


def test_settings_that_change_the_output_are_part_of_what_is_checked(index: Index) -> None:
    folder, generation = encoder_in(index)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["max_tokens"] = 3
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(EncoderError, match="damaged"):
        encoders.load(index.path, generation)


def test_another_whole_encoder_in_its_place_is_refused_by_both_fingerprints(index: Index, other: Path) -> None:
    folder, generation = encoder_in(index)
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
    with pytest.raises(FingerprintMismatch) as caught:
        encoders.load(index.path, generation)
    assert generation.fingerprint[:12] in str(caught.value)
    assert Encoder.load(other).fingerprint[:12] in str(caught.value)


@pytest.fixture
def other(tiny_encoder_dir: Path, tmp_path: Path) -> Path:
    """An encoder like the tiny one that reads fewer tokens, which is another encoder."""
    path = tmp_path / "other"
    shutil.copytree(tiny_encoder_dir, path)
    encoder = Encoder.load(path)
    manifest = json.loads((path / "manifest.json").read_text()) | {"max_tokens": 16, "name": "other"}
    manifest["fingerprint"] = fingerprint(manifest["files"], preprocessing=encoder._preprocessing, max_tokens=16)
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def test_an_encoder_whose_name_alone_differs_is_the_same(index: Index) -> None:
    folder, generation = encoder_in(index)
    manifest = json.loads((folder / "manifest.json").read_text()) | {"name": "renamed"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert encoders.load(index.path, generation).name == "renamed"


def test_leftovers_of_a_start_that_was_killed_are_replaced(tmp_path: Path, encoder: Encoder) -> None:
    for name in ("encoder", "encoder.tmp"):
        (tmp_path / "generations" / "0001" / name).mkdir(parents=True)
        (tmp_path / "generations" / "0001" / name / "tower.onnx").write_text("half")
    with Index.create(tmp_path, encoder=encoder) as index:
        assert index.encoder.fingerprint == encoder.fingerprint
    assert [path.name for path in (tmp_path / "generations" / "0001").iterdir()] == ["encoder"]


def test_an_index_keeps_how_many_components_its_encoder_has(tiny_encoder_dir: Path, tmp_path: Path) -> None:
    short = Encoder.load(tiny_encoder_dir, dim=16)
    with Index.create(tmp_path / "short", encoder=short) as index:
        index.sync([Document("a", "rotate the signing keys"), Document("b", "boil lentils until soft")])
    with Index.open(tmp_path / "short") as index:
        assert index.search("signing keys").hits[0].id == "a"
        assert (index.encoder.dim, index.encoder.fingerprint) == (16, short.fingerprint)


def test_an_index_of_fewer_components_refuses_the_encoder_with_all(tiny_encoder_dir: Path, tmp_path: Path) -> None:
    Index.create(tmp_path / "short", encoder=Encoder.load(tiny_encoder_dir, dim=16)).close()
    with pytest.raises(FingerprintMismatch, match="answers only with its own encoder"):
        Index.open(tmp_path / "short", encoder=Encoder.load(tiny_encoder_dir))
