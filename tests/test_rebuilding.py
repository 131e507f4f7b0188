from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from encoder_variants import reading_fewer_tokens, with_nan, with_other_dim
from opened import embeddings_of, faiss_file, generation_of, store_of
from told import Told

from docsim.encoding.encoder import Encoder
from docsim.engine.local import generations, rebuilder, word_writing, writer
from docsim.errors import EncoderError, FingerprintMismatch, IndexLocked, StoreError, UsageError
from docsim.index import Index
from docsim.maintenance import verify
from docsim.models import Document
from docsim.reindex import examination, reindexing
from docsim.reindex.examination import GateOptions
from docsim.reindex.generations import prune, rollback
from docsim.reindex.reindexing import Aborted, abort

LONG = " ".join(f"restore the database from backup {i}" for i in range(5))

reindex = partial(reindexing.reindex, gate=GateOptions(max_loss=1))
"""What the gate says of quality is tested in test_gate.py; here any loss is allowed."""


pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def encoder(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


@pytest.fixture(scope="module")
def other(tiny_encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder of 8 components, not 32."""
    return Encoder.load(with_other_dim(tiny_encoder_dir, tmp_path_factory.mktemp("encoders") / "other", 8))


@pytest.fixture(scope="module")
def made(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "index"
    with Index.create(path, encoder=encoder) as index:
        index.batch = 600  # some three documents
        index.sync(documents(12))
    return path


@pytest.fixture
def index(made: Path, tmp_path: Path) -> Iterator[Index]:
    with Index.open(shutil.copytree(made, tmp_path / "index")) as index:
        index.batch = 600
        yield index


def documents(count: int) -> list[Document]:
    return [
        Document(f"d{i}", f"page {i} about {'soup' if i % 2 else 'keys'}. {LONG}", title=f"P{i}") for i in range(count)
    ]


def at_first(act: Callable[[], object]) -> Told:
    """A progress that does something when the first batch was encoded."""
    return Told(at_first=act)


def held(index: Index, number: int) -> dict[str, int]:
    """First passage of each document embedded in a generation, by id."""
    sql = (
        "SELECT d.id, e.first_passage FROM embeddings e JOIN documents d ON d.number = e.document WHERE generation = ?"
    )
    return dict(store_of(index).rows(sql, number))


def state(index: Index) -> list[tuple[int, str]]:
    return store_of(index).rows("SELECT number, state FROM generations ORDER BY number")


def test_the_new_generation_answers_with_the_new_encoder(index: Index, other: Encoder) -> None:
    outcome = reindex(index, other)
    assert (outcome.generation, outcome.previous, outcome.published, outcome.embedded) == (2, 1, True, 12)
    result = index.search(LONG)
    assert (result.generation, result.encoder, index.encoder.dim) == (2, other.fingerprint, 8)
    assert state(index) == [(1, "retired"), (2, "live")]
    assert verify.problems(index) == []


def test_it_holds_just_what_encoding_the_stored_texts_gives(index: Index, other: Encoder, tmp_path: Path) -> None:
    reindex(index, other)
    with Index.create(tmp_path / "anew", encoder=other) as anew:
        anew.sync(documents(12))
        for document in documents(12):
            first, second = (embeddings_of(one, document.id) for one in (index, anew))
            np.testing.assert_allclose(first.astype(np.float32), second.astype(np.float32), atol=1e-3)


def test_its_snapshot_is_written_before_it_is_published(index: Index, other: Encoder) -> None:
    reindex(index, other)
    generation = generation_of(index)
    assert generation.snapshot_digest is not None
    assert generation.snapshot_passage == store_of(index).value("SELECT max(number) FROM passages")
    assert faiss_file(index).is_file()


def test_the_live_generation_answers_while_the_other_is_built(index: Index, other: Encoder) -> None:
    found: list[int] = []
    reindex(index, other, progress=at_first(lambda: found.append(index.search("soup").generation)))
    assert found == [1]
    assert index.search("soup").generation == 2


def test_batches_do_not_make_readers_look_again(index: Index, other: Encoder) -> None:
    before = store_of(index).revision()
    seen: list[int] = []
    reindex(index, other, progress=Told(each=lambda: seen.append(store_of(index).revision())))
    assert len(seen) >= 3
    assert set(seen) == {before}
    assert store_of(index).revision() == before + 1


def test_what_is_written_meanwhile_is_in_both_generations(index: Index, other: Encoder) -> None:
    changed = [*documents(10)[1:], Document("d0", "quite different"), Document("new", "signing keys rotate")]
    outcome = reindex(index, other, progress=at_first(lambda: index.sync(changed)))
    assert outcome.published
    assert held(index, 1) == held(index, 2)
    assert set(held(index, 2)) == {*(f"d{i}" for i in range(10)), "new"}
    assert index.search("signing keys rotate").hits[0].id == "new"
    assert verify.problems(index) == []


def test_what_is_written_during_the_comparison_is_in_both_generations(
    index: Index, other: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    examine = examination.examine

    def examined_late(*arguments: object) -> object:
        found = examine(*arguments)  # type: ignore[arg-type]
        index.sync([Document("late", "late")], prune=False)
        index.remove(["d3"])
        return found

    monkeypatch.setattr(reindexing, "examine", examined_late)
    reindex(index, other)
    assert held(index, 1) == held(index, 2)
    assert ("late" in held(index, 2), "d3" in held(index, 2)) == (True, False)
    assert verify.problems(index) == []


def test_stopped_half_way_it_continues(index: Index, other: Encoder) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reindex(index, other, progress=at_first(stop))
    assert state(index) == [(1, "live"), (2, "building")]
    done = len(held(index, 2))
    assert 0 < done < 12
    told = Told()
    outcome = reindex(index, other, progress=told)
    assert (told.begun, outcome.embedded, outcome.generation) == ([("documents", 12, done)], 12 - done, 2)
    assert told.said[0] == "Continuing generation 2."
    assert outcome.published


def test_without_an_encoder_it_goes_on_with_the_unfinished_one(index: Index, other: Encoder) -> None:
    with pytest.raises(ZeroDivisionError):
        reindex(index, other, progress=at_first(lambda: 1 / 0))
    assert reindex(index).published
    with pytest.raises(UsageError, match="expected an encoder, as no re-index is unfinished"):
        reindex(index)


def test_with_another_encoder_it_starts_anew_and_says_so(
    index: Index, other: Encoder, encoder: Encoder, tmp_path: Path
) -> None:
    with pytest.raises(ZeroDivisionError):
        reindex(index, other, progress=at_first(lambda: 1 / 0))
    third = Encoder.load(reading_fewer_tokens(encoder.path, tmp_path / "third"))
    told = Told()
    outcome = reindex(index, third, progress=told)
    assert (outcome.generation, outcome.embedded) == (3, 12)
    assert told.said[0] == "Starting over: the unfinished generation 2 was for another encoder, other."
    assert state(index) == [(1, "retired"), (3, "live")]
    assert sorted(one.name for one in (index.path / "generations").iterdir()) == ["0001", "0003"]


def test_the_encoder_that_is_live_already_changes_nothing(index: Index, encoder: Encoder) -> None:
    outcome = reindex(index, encoder)
    assert (outcome.generation, outcome.published, outcome.embedded) == (1, True, 0)
    assert state(index) == [(1, "live")]


def test_a_second_reindex_is_refused_at_once(index: Index, other: Encoder) -> None:
    caught: list[str] = []

    def second() -> None:
        for again in (
            lambda: reindex(index, other),
            lambda: rollback(index),
            lambda: prune(index, keep=1),
        ):
            with pytest.raises(IndexLocked) as error:
                again()
            caught.append(str(error.value))

    assert reindex(index, other, progress=at_first(second)).published
    assert len(caught) == 3
    assert all("another process is re-indexing" in one for one in caught)


def test_a_reindex_does_not_wait_for_a_writer_until_it_publishes(index: Index, other: Encoder) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[Document]:
        yield from documents(12)
        yield Document("slow", "slow text")
        reached.set()
        assert go_on.wait(30)

    writing = threading.Thread(target=lambda: index.sync(slow()), daemon=True)
    writing.start()
    assert reached.wait(30)
    told = Told(at_words=go_on.set)  # everything is built now, with the writer still at it
    outcome = reindex(index, other, progress=told)
    writing.join(30)
    assert told.said == ["Comparing it with the live generation."]
    assert outcome.published
    assert "slow" in held(index, 2)
    assert held(index, 1) == held(index, 2)


def test_an_encoder_that_gives_nan_is_never_published(index: Index, encoder: Encoder, tmp_path: Path) -> None:
    broken = Encoder.load(with_nan(encoder.path, tmp_path / "broken"))  # for texts with "garden"
    index.sync([Document("bad", "a garden")], prune=False)
    with pytest.raises(EncoderError, match="expected unit vectors from the encoder broken"):
        reindex(index, broken, gate=GateOptions(publish_anyway=True))
    assert state(index) == [(1, "live"), (2, "building")]
    assert verify.problems(index) == []
    assert abort(index) == Aborted(2, kept=False)
    assert state(index) == [(1, "live")]
    assert not (index.path / "generations" / "0002").exists()


def test_an_encoder_whose_manifest_tells_another_dimension_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    path = reading_fewer_tokens(encoder.path, tmp_path / "lying")
    manifest = json.loads((path / "manifest.json").read_text()) | {"dim": 48}
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(EncoderError, match=r"says 48 components, tower\.onnx gives 32"):
        Encoder.load(path)


def test_a_rollback_brings_the_old_answers_back(index: Index, other: Encoder) -> None:
    before = index.search("soup").hits
    reindex(index, other)
    outcome = rollback(index)
    assert (outcome.generation, outcome.previous, outcome.embedded) == (1, 2, 0)
    result = index.search("soup")
    assert (result.generation, result.hits) == (1, before)
    assert state(index) == [(1, "live"), (2, "retired")]


def test_a_rollback_first_embeds_what_came_later(index: Index, other: Encoder) -> None:
    reindex(index, other)
    index.sync([*documents(11)[1:], Document("d0", "changed"), Document("new", "rotate signing keys")])
    outcome = rollback(index)
    assert outcome.embedded == 2
    assert held(index, 1) == held(index, 2)
    result = index.search("rotate signing keys")
    assert (result.generation, result.hits[0].id) == (1, "new")
    assert verify.problems(index) == []


def test_a_rollback_goes_to_any_generation_that_is_kept(index: Index, other: Encoder) -> None:
    reindex(index, other)
    rollback(index, to=1)
    assert rollback(index, to=2).generation == 2
    assert rollback(index, to=2).embedded == 0
    with pytest.raises(UsageError, match="expected generation 9 to go back to; found 1"):
        rollback(index, to=9)
    prune(index, keep=1)
    with pytest.raises(UsageError, match="expected a generation that was live before 2, which is live; found none"):
        rollback(index)


def test_a_rollback_goes_to_the_generation_that_was_live_before_not_to_the_number_before(
    index: Index, encoder: Encoder, other: Encoder, tmp_path: Path
) -> None:
    reindex(index, other)
    rollback(index, to=1)
    third = Encoder.load(reading_fewer_tokens(encoder.path, tmp_path / "third", 500))
    assert reindex(index, third).generation == 3
    assert rollback(index).generation == 1
    assert rollback(index).generation == 3


def test_what_is_written_just_before_a_rollback_publishes_is_embedded(
    index: Index, other: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    reindex(index, other)
    missing = rebuilder.LocalRebuilder.missing

    def late(self: rebuilder.LocalRebuilder, number: int) -> int:
        found = missing(self, number)
        index.sync([Document("late", "soup")], prune=False)
        return found

    monkeypatch.setattr(rebuilder.LocalRebuilder, "missing", late)
    outcome = rollback(index)
    assert (outcome.generation, outcome.embedded) == (1, 1)
    assert "late" in held(index, 1)
    assert verify.problems(index) == []


def test_deletions_that_no_file_needs_are_forgotten_and_an_open_reader_notices(index: Index, other: Encoder) -> None:
    with Index.open(index.path) as reader:
        assert len(reader.search("soup", 20).hits) == 12
        index.remove(["d1", "d3"])
        reindex(index, other)
        rollback(index)
        index.remove(["d5"])
        with writer.opened(index.path, wait=False) as store:
            for number in (1, 2):
                generations.write_faiss_file(store, index.path, force=True, number=number)
            word_writing.write(store, index.path, force=True)
        prune(index, keep=2)
        assert store_of(index).value("SELECT count(*) FROM deletions") == 0
        index.remove(["d7"])
        assert store_of(index).value("SELECT count(*) FROM deletions") == 1
        left = {f"d{i}" for i in range(12)} - {"d1", "d3", "d5", "d7"}
        for one in (reader, index):
            assert {hit.id for hit in one.search("soup", 20).hits} == left
    assert verify.problems(index) == []


def test_a_rollback_to_an_encoder_that_is_damaged_is_refused(index: Index, other: Encoder) -> None:
    reindex(index, other)
    file = index.path / "generations" / "0001" / "encoder" / "tower.onnx"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(EncoderError, match="damaged"):
        rollback(index)
    assert index.search("soup").generation == 2


def test_an_encoder_that_was_live_before_is_not_encoded_again(index: Index, other: Encoder) -> None:
    reindex(index, other)
    rollback(index)
    index.sync([Document("new", "new")], prune=False)
    outcome = reindex(index, other)
    assert (outcome.generation, outcome.embedded, outcome.published) == (2, 1, True)


def test_aborting_what_was_live_before_keeps_it(index: Index, other: Encoder) -> None:
    reindex(index, other)
    rollback(index)
    index.sync([Document("new", "new")], prune=False)
    with pytest.raises(ZeroDivisionError):
        reindex(index, other, progress=at_first(lambda: 1 / 0))
    assert abort(index) == Aborted(2, kept=True)
    assert abort(index) is None
    assert state(index) == [(1, "live"), (2, "retired")]


def test_pruning_removes_rows_files_and_bytes(index: Index, other: Encoder) -> None:
    index.sync(documents(60))
    reindex(index, other)
    index.close()
    size = (index.path / "index.db").stat().st_size
    with Index.open(index.path) as opened:
        pruned = prune(opened, keep=1)
    assert pruned.generations == (1,)
    assert pruned.bytes > 0
    assert (index.path / "index.db").stat().st_size < size
    assert [one.name for one in (index.path / "generations").iterdir()] == ["0002"]
    with Index.open(index.path) as opened:
        assert verify.problems(opened) == []
        assert opened.search("soup").generation == 2
        assert store_of(opened).value("PRAGMA freelist_count") == 0
        assert store_of(opened).value("SELECT count(*) FROM embeddings WHERE generation = 1") == 0


def test_pruning_never_removes_the_live_generation(index: Index, other: Encoder) -> None:
    reindex(index, other)
    rollback(index)
    assert prune(index, keep=2).generations == ()
    assert prune(index, keep=1).generations == (2,)
    assert prune(index, keep=1).generations == ()
    with pytest.raises(UsageError, match="expected to keep 1"):
        prune(index, keep=0)
    assert index.search("soup").generation == 1


def test_an_older_database_is_shrunk_too(index: Index, other: Encoder, tmp_path: Path) -> None:
    reindex(index, other)
    index.close()
    connection = sqlite3.connect(index.path / "index.db", isolation_level=None)
    connection.execute("PRAGMA auto_vacuum = NONE")
    connection.execute("VACUUM")
    connection.close()
    with Index.open(index.path) as opened:
        assert prune(opened, keep=1).bytes > 0
        assert store_of(opened).value("PRAGMA freelist_count") == 0
        assert store_of(opened).value("PRAGMA auto_vacuum") == 2


def test_a_reader_stays_open_across_publishing_going_back_and_pruning(index: Index, other: Encoder) -> None:
    with Index.open(index.path) as reader:
        assert reader.search("soup").generation == 1
        reindex(index, other)
        assert reader.search("soup").generation == 2
        rollback(index)
        assert reader.search("soup").generation == 1
        rollback(index, to=2)
        prune(index, keep=1)
        result = reader.search(LONG)
        assert (result.generation, len(result.hits)) == (2, 10)


def test_a_reader_that_has_not_asked_since_survives_the_pruning_of_its_generation(index: Index, other: Encoder) -> None:
    with Index.open(index.path) as reader:
        reader.search("soup")
        reindex(index, other)
        prune(index, keep=1)
        assert reader.search("soup").generation == 2


@pytest.mark.thorough
def test_readers_in_a_loop_never_fail_and_never_mix(index: Index, other: Encoder) -> None:
    stop, wrong, asked = threading.Event(), [], [0]
    fingerprints = {1: index.encoder.fingerprint, **dict.fromkeys(range(2, 5), other.fingerprint)}

    def read() -> None:
        with Index.open(index.path) as reader:
            while not stop.is_set():
                result = reader.search(LONG, 12)
                asked[0] += 1
                whole = len(result.hits) == 12 and all(hit.similarity <= 1.01 for hit in result.hits)
                if fingerprints[result.generation] != result.encoder or not whole:
                    wrong.append(result)

    reading = [threading.Thread(target=read, daemon=True) for _ in range(2)]
    for one in reading:
        one.start()
    for _ in range(3):
        reindex(index, other)
        rollback(index)
        prune(index, keep=1)
    stop.set()
    for one in reading:
        one.join()
    assert asked[0] > 10
    assert wrong == []


def test_an_index_refuses_another_encoder_and_names_the_command(index: Index, other: Encoder) -> None:
    with pytest.raises(FingerprintMismatch) as caught:
        Index.open(index.path, encoder=other)
    message = f"{caught.value} {caught.value.hint}"
    assert index.encoder.fingerprint[:12] in message
    assert other.fingerprint[:12] in message
    assert f"docsim reindex --index {index.path} --encoder {other.path}" in message


def test_documents_are_encoded_by_the_live_generation_s_encoder(index: Index, other: Encoder) -> None:
    reindex(index, other)
    index.sync([Document("new", "rotate signing keys")], prune=False)
    assert embeddings_of(index, "new").shape == (1, 8)
    assert "new" not in held(index, 1)


def test_an_index_opened_at_a_generation_answers_from_it_and_is_not_written_to(index: Index, other: Encoder) -> None:
    reindex(index, other)
    with Index.open(index.path, generation=1) as old:
        assert old.search("soup").generation == 1
        with pytest.raises(UsageError, match="generation 1"):
            old.sync([Document("x", "y")])
    with pytest.raises(StoreError, match="no generation 7"):
        Index.open(index.path, generation=7)


def test_an_index_without_documents_is_reindexed(tmp_path: Path, encoder: Encoder, other: Encoder) -> None:
    with Index.create(tmp_path / "empty", encoder=encoder) as empty:
        assert reindex(empty, other).published


def test_rebuilding_what_is_no_index_makes_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected an index"), rebuilder.opened(tmp_path / "nothing", wait=False):
        pass
    assert not (tmp_path / "nothing").exists()


def test_publishing_a_generation_that_lacks_documents_is_refused(index: Index, other: Encoder) -> None:
    with pytest.raises(ZeroDivisionError):
        reindex(index, other, progress=at_first(lambda: 1 / 0))
    with rebuilder.opened(index.path, wait=False) as opened, pytest.raises(StoreError, match="expected every document"):
        opened.publish(2, lambda: 0)
    assert index.generation().number == 1


def test_repair_mends_what_is_damaged_in_a_generation_that_is_not_live(index: Index, other: Encoder) -> None:
    reindex(index, other)
    connection = sqlite3.connect(index.path / "index.db", isolation_level=None)
    connection.execute("UPDATE embeddings SET checksum = 0 WHERE generation = 1 AND document = 3")
    connection.close()
    assert verify.problems(index) == ["the embeddings of d2 in generation 1 are missing or damaged"]
    verify.repair(index)
    assert verify.problems(index) == []
    assert rollback(index).embedded == 1
    assert verify.problems(index) == []
    assert index.search("soup", 12).generation == 1


def test_an_index_that_lost_its_encoder_can_change_to_another(index: Index, other: Encoder) -> None:
    (index.path / "generations" / "0001" / "encoder" / "tower.onnx").unlink()
    outcome = reindex(index, other)
    assert outcome.published
    assert outcome.gate is not None
    assert outcome.gate.verdict.checks[-1].detail == "not measured: the live generation cannot answer"
    with Index.open(index.path) as opened:
        assert opened.search("soup").generation == 2


def test_the_same_encoder_given_again_restores_the_one_that_was_lost(index: Index, encoder: Encoder) -> None:
    (index.path / "generations" / "0001" / "encoder" / "tower.onnx").unlink()
    assert reindex(index, encoder).generation == 1
    with Index.open(index.path) as opened:
        assert opened.search("soup").generation == 1
        assert verify.problems(opened) == []
