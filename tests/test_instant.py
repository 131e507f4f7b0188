from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from encoder_variants import reading_fewer_tokens, with_nan, with_other_dim
from opened import snapshot_of, store_of
from tiny_encoder import WORDS
from told import Told
from turned_encoder import turned

from docsim.cli import main
from docsim.encoding.alignment import Alignment
from docsim.encoding.encoder import Encoder
from docsim.engine.local import generations, mappings, writer
from docsim.engine.local.vectors import VectorIndex
from docsim.errors import EncoderError, UsageError
from docsim.index import Index
from docsim.maintenance import verify
from docsim.models import Document, SearchResult
from docsim.reindex import gate_report, instant
from docsim.reindex.examination import GateOptions
from docsim.reindex.generations import prune, rollback
from docsim.reindex.instant import upgrade
from docsim.reindex.reindexing import Aborted, Reindexed, abort, reindex


def documents(count: int = 120) -> list[Document]:
    """Documents of some dozen words each, no two alike."""
    random = np.random.default_rng(0)
    return [Document(f"d{i}", " ".join(random.choice(WORDS[15:], 12)), title=f"P{i}") for i in range(count)]


QUESTION = documents()[5].text


pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def encoder(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


@pytest.fixture(scope="module")
def new(tiny_encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder of the same similarities whose embeddings are turned."""
    return Encoder.load(turned(tiny_encoder_dir, tmp_path_factory.mktemp("encoders") / "turned"))


@pytest.fixture(scope="module")
def narrow(tiny_encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder of 16 components, not 32."""
    return Encoder.load(with_other_dim(tiny_encoder_dir, tmp_path_factory.mktemp("encoders") / "narrow", 16))


@pytest.fixture(scope="module")
def made(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "index"
    with Index.create(path, encoder=encoder) as index:
        index.sync(documents())
    return path


@pytest.fixture
def index(made: Path, tmp_path: Path) -> Iterator[Index]:
    with Index.open(shutil.copytree(made, tmp_path / "index")) as index:
        yield index


def ids(result: SearchResult) -> list[str]:
    return [hit.id for hit in result.hits]


def answered_by(result: SearchResult) -> tuple[str, bool, int]:
    return result.encoder, result.adapter, result.generation


# While the new generation is built


def test_an_open_index_answers_with_the_new_encoder_at_its_next_query(
    index: Index, encoder: Encoder, new: Encoder
) -> None:
    before = index.search(QUESTION)
    assert answered_by(before) == (encoder.fingerprint, False, 1)
    assert upgrade(index, new) is not None
    after = index.search(QUESTION)
    assert answered_by(after) == (new.fingerprint, True, 1)
    assert ids(after)[0] == "d5"
    assert len(set(ids(after)) & set(ids(before))) >= 8
    assert after.hits[0].similarity == pytest.approx(before.hits[0].similarity, abs=0.05)


def test_another_process_answers_with_the_new_encoder(index: Index, new: Encoder) -> None:
    upgrade(index, new)
    command = [sys.executable, "-c", "from docsim.cli import main; main()", "query", QUESTION, "--json"]
    done = subprocess.run([*command, "--index", str(index.path)], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert (told["encoder"], told["adapter"], told["hits"][0]["id"]) == (new.fingerprint, True, "d5")


def test_an_indexed_document_is_compared_by_what_it_is_mapped_to(index: Index, new: Encoder) -> None:
    before = index.similar("d5")
    upgrade(index, new)
    after = index.similar("d5")
    assert answered_by(after) == (new.fingerprint, True, 1)
    assert len(set(ids(after)) & set(ids(before))) >= 8
    assert after.hits != before.hits


def test_an_explanation_is_the_new_encoders_too(index: Index, encoder: Encoder, new: Encoder) -> None:
    assert index.explain("d5", "d6").encoder == encoder.fingerprint
    upgrade(index, new)
    assert index.explain("d5", "d6").encoder == new.fingerprint
    with Index.open(index.path) as other:
        assert other.explain("d5", "d6").encoder == new.fingerprint
    abort(index)
    assert index.explain("d5", "d6").encoder == encoder.fingerprint


def test_another_document_is_encoded_anew(index: Index, new: Encoder) -> None:
    upgrade(index, new)
    result = index.similar_to(documents()[7])
    assert answered_by(result) == (new.fingerprint, True, 1)
    assert ids(result)[0] == "d7"


def test_an_encoder_of_fewer_dimensions_answers(index: Index, narrow: Encoder) -> None:
    assert upgrade(index, narrow) is not None
    result = index.search(QUESTION)
    assert answered_by(result) == (narrow.fingerprint, True, 1)
    assert "d5" in ids(result)[:3]


def test_percentiles_are_of_the_new_encoder_too(index: Index, narrow: Encoder) -> None:
    assert upgrade(index, narrow) is not None
    with Index.open(index.path) as other:
        for hits in (index.search(QUESTION).hits, index.similar("d5").hits, other.similar("d5").hits):
            found = [(hit.similarity, hit.percentile) for hit in hits]
            assert [percentile for _, percentile in sorted(found)] == sorted(percentile or 0 for _, percentile in found)
            assert (found[0][1] or 0) > 95


def test_what_is_indexed_meanwhile_is_found_through_the_adapter(index: Index, new: Encoder) -> None:
    upgrade(index, new)
    index.sync([*documents(), Document("late", "boil lentils until soft")])
    result = index.search("boil lentils until soft")
    assert (ids(result)[0], result.adapter) == ("late", True)
    assert verify.problems(index) == []


def test_a_reader_gets_whole_answers_of_one_encoder_or_the_other_across_the_switches(
    index: Index, encoder: Encoder, new: Encoder
) -> None:
    index.batch = 2000
    seen: list[tuple[str, bool, int]] = []
    wrong: list[object] = []
    stop = threading.Event()

    def read() -> None:
        with Index.open(index.path) as reader:
            while not stop.is_set():
                result = reader.search(QUESTION)
                if ids(result)[0] != "d5" or len(result.hits) != 10:
                    wrong.append(result)
                seen.append(answered_by(result))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        while not seen and reader.is_alive():
            pass
        upgrade(index, new)
        while not any(one[1] for one in seen) and reader.is_alive():
            time.sleep(0.01)
        reindex(index, new)
        while seen[-1][2] == 1 and reader.is_alive():
            time.sleep(0.01)
    finally:
        stop.set()
        reader.join()
    assert wrong == []
    order = list(dict.fromkeys(seen))
    assert order == [(encoder.fingerprint, False, 1), (new.fingerprint, True, 1), (new.fingerprint, False, 2)]


# How it ends


def test_publishing_ends_it(index: Index, new: Encoder) -> None:
    upgrade(index, new)
    assert reindex(index, new).published
    assert answered_by(index.search(QUESTION)) == (new.fingerprint, False, 2)
    assert store_of(index).rows("SELECT * FROM adapters") == []


def test_its_files_go_when_old_generations_do_not_before(index: Index, new: Encoder) -> None:
    upgrade(index, new)
    reindex(index, new)
    folder = mappings.alignment_path(index.path, 2).parent
    assert folder.is_dir()  # a reader of the state before may be about to open them
    prune(index, keep=2)
    assert not folder.exists()
    assert verify.problems(index) == []


def test_documents_removed_meanwhile_are_not_found(index: Index, new: Encoder) -> None:
    upgrade(index, new)
    index.remove(["d5"])
    assert "d5" not in ids(index.search(QUESTION))
    with Index.open(index.path) as other:
        assert "d5" not in ids(other.search(QUESTION))
    assert verify.problems(index) == []


def test_what_was_removed_is_remembered_until_the_adapter_goes(index: Index, new: Encoder) -> None:
    upgrade(index, new)
    index.remove([f"d{i}" for i in range(60)])
    prune(index, keep=1)
    with Index.open(index.path) as other:
        result = other.search(QUESTION, k=100)
    assert result.adapter
    assert sorted(ids(result)) == sorted(f"d{i}" for i in range(60, 120))


def test_aborting_ends_it(index: Index, encoder: Encoder, new: Encoder) -> None:
    upgrade(index, new)
    assert index.search(QUESTION).adapter
    assert abort(index) == Aborted(2, kept=False)
    assert answered_by(index.search(QUESTION)) == (encoder.fingerprint, False, 1)
    assert verify.problems(index) == []


def test_a_generation_that_does_not_pass_no_longer_answers(
    index: Index, encoder: Encoder, tiny_encoder_dir: Path, tmp_path: Path
) -> None:
    worse = Encoder.load(with_other_dim(tiny_encoder_dir, tmp_path / "worse", 2))
    upgrade(index, worse)
    assert index.search(QUESTION).adapter
    qrels = {f"q{i}": {f"d{i}": 1} for i in range(20)}
    unanswered = GateOptions(max_loss=0, qrels=qrels, texts={f"q{i}": documents()[i].text[:30] for i in range(20)})
    told = Told()
    outcome = reindex(index, gate=unanswered, progress=told)
    assert not outcome.published
    assert answered_by(index.search(QUESTION)) == (encoder.fingerprint, False, 1)
    assert "The live generation's own encoder answers again." in told.said


def test_an_adapter_to_embeddings_that_are_no_longer_live_is_not_used(
    index: Index, encoder: Encoder, new: Encoder, narrow: Encoder
) -> None:
    reindex(index, narrow, gate=GateOptions(publish_anyway=True))
    upgrade(index, new)
    assert index.search(QUESTION).adapter
    rollback(index)
    assert answered_by(index.search(QUESTION)) == (encoder.fingerprint, False, 1)


def test_an_adapter_that_finds_less_than_the_old_encoder_is_not_used(
    index: Index, encoder: Encoder, tiny_encoder_dir: Path, tmp_path: Path
) -> None:
    same = Encoder.load(reading_fewer_tokens(tiny_encoder_dir, tmp_path / "same", 500))
    index.sync(documents()[:24], prune=True)
    assert upgrade(index, same) is None  # so few passages tell nothing
    assert answered_by(index.search("soup")) == (encoder.fingerprint, False, 1)


def test_the_encoder_that_answers_already_needs_no_adapter(index: Index, encoder: Encoder) -> None:
    assert upgrade(index, encoder) is None
    assert [one.number for one in store_of(index).generations()] == [1]


def test_an_encoder_of_other_than_unit_vectors_is_refused(index: Index, tiny_encoder_dir: Path, tmp_path: Path) -> None:
    broken = Encoder.load(with_nan(tiny_encoder_dir, tmp_path / "nan"))
    before = ids(index.search(QUESTION))
    with pytest.raises(EncoderError, match="expected unit vectors"):
        upgrade(index, broken)
    assert ids(index.search(QUESTION)) == before


def test_without_an_encoder_there_has_to_be_something_unfinished(index: Index) -> None:
    with pytest.raises(UsageError, match="expected an encoder"):
        upgrade(index)


# What is damaged


def test_a_damaged_adapter_leaves_the_old_encoder_to_answer_and_says_so(
    index: Index, encoder: Encoder, new: Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade(index, new)
    path = mappings.alignment_path(index.path, 2)
    path.write_bytes(path.read_bytes()[:100])
    for _ in range(3):
        answer = index.search(QUESTION)
        assert answered_by(answer) == (encoder.fingerprint, False, 1)
        assert ["answering with the live generation's encoder" in one for one in answer.warnings] == [True]
    assert len(caplog.records) == 1
    assert any(str(path.parent) in problem for problem in verify.problems(index))


def test_a_damaged_adapter_is_learned_anew(index: Index, new: Encoder) -> None:
    upgrade(index, new)
    mappings.alignment_path(index.path, 2).unlink()
    upgrade(index)
    assert index.search(QUESTION).adapter
    assert verify.problems(index) == []


def test_an_adapter_for_another_dimension_is_not_used(
    index: Index, encoder: Encoder, new: Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade(index, new)
    path = mappings.alignment_path(index.path, 2)
    other = np.zeros((3, 32), np.float32), np.zeros((3, 16), np.float32)
    digest = Alignment(encoder.fingerprint, new.fingerprint, np.eye(32, 16, dtype=np.float32), *other).save(path)
    with writer.opened(index.path, wait=True) as store, store.writing():
        store.execute("UPDATE adapters SET digest = ?", digest)
    assert answered_by(index.search(QUESTION)) == (encoder.fingerprint, False, 1)
    assert "answering with the live generation's encoder" in caplog.text


def test_a_damaged_new_encoder_leaves_the_old_one_to_answer(index: Index, encoder: Encoder, new: Encoder) -> None:
    upgrade(index, new)
    (generations.directory(index.path, 2) / "encoder" / "tower.onnx").write_bytes(b"")
    assert answered_by(index.search(QUESTION)) == (encoder.fingerprint, False, 1)


def test_a_damaged_snapshot_of_mapped_embeddings_is_told_of_and_done_without(
    index: Index, new: Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade(index, new)
    before = index.search(QUESTION)
    path = generations.mapped_path(index.path, 2)
    path.write_bytes(path.read_bytes()[:-1])
    with Index.open(index.path) as other:
        after = other.search(QUESTION)
    assert answered_by(after) == (new.fingerprint, True, 1)
    assert ids(after) == ids(before)
    assert "answering from the stored embeddings" in caplog.text
    assert any(str(path) in problem for problem in verify.problems(index))
    upgrade(index, new)
    assert verify.problems(index) == []


def test_mapped_embeddings_that_are_others_are_told_of(index: Index, new: Encoder) -> None:
    upgrade(index, new)
    path = generations.mapped_path(index.path, 2)
    rows = np.eye(120, new.dim, dtype=np.float32)
    digest = VectorIndex(new.dim).with_added(np.arange(1, 121), rows).save(path)
    with writer.opened(index.path, wait=True) as store, store.writing():
        store.execute("UPDATE adapters SET snapshot_digest = ?", digest)
    assert any("disagree with the stored ones" in problem for problem in verify.problems(index))


# What is told


def test_the_report_tells_what_the_adapter_found_of_the_new_generation(index: Index, new: Encoder) -> None:
    upgrade(index, new)
    outcome = reindex(index, new, gate=judged())
    assert outcome.gate is not None
    found = outcome.gate.mapped
    assert found is not None
    assert (found.queries, found.k, found.passages) == (20, 10, 120)
    assert found.before == 1  # turned or not, the neighbours are the same
    assert found.recall > 0.85
    assert outcome.report is not None
    told = json.loads((outcome.report / "report.json").read_text())
    assert told["adapter"]["recall"] == found.recall
    assert f"it found {found.recall:.1%} of the 10 documents" in (outcome.report / "report.html").read_text()


def test_the_report_of_a_reindex_without_an_adapter_tells_of_none(index: Index, new: Encoder) -> None:
    outcome: Reindexed = reindex(index, new, gate=judged())
    assert outcome.gate is not None
    assert gate_report.numbers(outcome.gate)["adapter"] is None


def judged() -> GateOptions:
    qrels = {f"q{i}": {f"d{i}": 1} for i in range(20)}
    return GateOptions(qrels=qrels, texts={id: documents()[int(id[1:])].text for id in qrels})


@pytest.mark.parametrize("option", ["--instant", "--adapter"])
def test_the_command_upgrades_and_then_re_indexes(index: Index, new: Encoder, option: str) -> None:
    given = ["reindex", "--index", str(index.path), "--encoder", str(new.path), option]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 0, result.output
    assert "answers from now on, with mapped embeddings" in result.stderr
    assert "instant      " in result.stdout
    assert answered_by(index.search(QUESTION)) == (new.fingerprint, False, 2)


def test_status_says_that_the_generation_being_built_answers(index: Index, new: Encoder) -> None:
    upgrade(index, new)
    result = CliRunner().invoke(main, ["generations", "--index", str(index.path), "--json"])
    assert [(one["state"], one["adapter"]) for one in json.loads(result.stdout)] == [
        ("live", False),
        ("building", True),
    ]


# The sample


def test_the_sample_is_the_same_passages_under_both_encoders(index: Index, encoder: Encoder) -> None:
    with snapshot_of(index) as snapshot:
        old, again = instant._sample(snapshot, encoder)
    assert len(old) == 120
    np.testing.assert_allclose(old, again, atol=2e-3)


def test_the_sample_is_of_as_many_passages_as_it_may_be(
    index: Index, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instant, "SAMPLED", 30)
    with snapshot_of(index) as snapshot:
        chosen = instant._chosen(snapshot.passage_counts())
    assert sum(map(len, chosen.values())) == 30
    assert len({(number, place) for number, places in chosen.items() for place in places}) == 30


# Killed


@pytest.mark.thorough
def test_killed_while_the_adapter_is_committed_the_last_state_answers(
    tiny_encoder_dir: Path, new: Encoder, tmp_path: Path
) -> None:
    command = [sys.executable, str(Path(__file__).parent / "instant_kills.py")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    given = [str(tiny_encoder_dir), str(new.path), str(tmp_path)]
    done = subprocess.run([*command, *given], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one for one in found if one["problem"]] == []
    events = {(one["job"], one["at"].split()[0]) for one in found}
    assert {("upgrade", "COMMIT"), ("upgrade", "os.rename"), ("abort", "COMMIT"), ("abort", "DELETE")} <= events
