"""A state machine: whatever is done to an index, it holds and answers what a dict and brute force say."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import faiss
import numpy as np
import pytest
from effort import examples
from encoder_variants import with_other_dim
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from numpy.typing import NDArray
from opened import faiss_file, ids_of, store_of, write_faiss_file

from docsim.encoding.encoder import Encoder
from docsim.engine.local import ann
from docsim.engine.records import SourceName
from docsim.index import Index
from docsim.ingest import passages
from docsim.maintenance import verify
from docsim.models import Document, Failure, SearchResult
from docsim.reindex import generations, reindexing
from docsim.reindex.examination import GateOptions
from docsim.search import scoring

NAMES = {"a": "a", "b": "b", "c": "b"}  # of sources by the end of their locations: two are called the same
PATHS = ["x", "y", "b/x", "b/b/x"]  # some are what others are set apart as
LONG = "\n\n".join(f"# Part {i}\n\n" + "restore the database from a backup " * 20 + f"number {i}" for i in range(5))
TEXTS = ["lentils soup", "rotate signing keys", "train ticket", "restore the server", "", LONG, LONG + " and soup"]
QUERIES = ["soup", "a train to the database", LONG[:3000]]

names = st.sampled_from(sorted(NAMES))
paths = st.sampled_from(PATHS)
texts = st.sampled_from(TEXTS)
contents = st.dictionaries(paths, texts, max_size=5)
prunes = st.sampled_from([None, None, True, False])


class SyncMachine(RuleBasedStateMachine):
    """The index beside its model: which text each source holds under each path."""

    encoders: ClassVar[tuple[Encoder, Encoder]]
    index_type: ClassVar[str] = "auto"
    batch: ClassVar[int] = Index.batch

    @initialize(one=contents, other=contents)
    def begin(self, one: dict[str, str], other: dict[str, str]) -> None:
        self.path = Path(tempfile.mkdtemp(dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))) / "index"
        self.model: dict[tuple[str, str], str] = {}
        self.encoder = self.encoders[0]
        self.index = Index.create(self.path, encoder=self.encoder, index_type=self.index_type)
        self.index.batch = self.batch
        self.reader = Index.open(self.path)  # never opened again: it has to catch up with everything
        self.kept: bytes | None = None
        self.damaged: set[int] = set()  # generations with a snapshot that was tampered with
        for name in NAMES:
            self.folder(name).mkdir()
        self.sync("a", one, prune=None, failed=set())
        self.sync("b", other, prune=None, failed=set())

    def teardown(self) -> None:
        if hasattr(self, "path"):
            self.index.close()
            self.reader.close()
            shutil.rmtree(self.path.parent)

    # What is done

    @rule(name=names, content=contents, prune=prunes, failed=st.sets(paths, max_size=2))
    def sync(self, name: str, content: dict[str, str], prune: bool | None, failed: set[str]) -> None:
        documents = [Document(path, text) for path, text in content.items() if path not in failed]
        failures = [Failure(path, "unreadable") for path in sorted(failed)]
        self.folder(name).mkdir(exist_ok=True)
        planned = self.index.sync([*documents, *failures], source=self.source(name), prune=prune, dry_run=True)
        done = self.index.sync([*documents, *failures], source=self.source(name), prune=prune)
        assert done == planned
        held = {path for source, path in self.model if source == name}
        if prune if prune is not None else bool(documents or failures):
            for path in held - set(content) - failed:
                del self.model[name, path]
        self.model.update({(name, document.id): document.text for document in documents})
        self.leave_what_was_taken_over()

    @rule(name=names, path=paths, text=texts)
    def add_or_change(self, name: str, path: str, text: str) -> None:
        self.sync(name, {path: text}, prune=False, failed=set())

    @precondition(lambda self: self.model)
    @rule(chosen=st.data(), text=texts, prune=prunes)
    def copy_a_text_and_change_the_original(self, chosen: st.DataObject, text: str, prune: bool | None) -> None:
        """Put what a source holds under another of its paths, and change it where it was, in either order."""
        name, original = chosen.draw(st.sampled_from(sorted(self.model)), label="original")
        near = [original.removeprefix(f"{NAMES[name]}/"), f"{NAMES[name]}/{original}"]  # what may be set apart as it
        path = chosen.draw(st.sampled_from([path for path in near if path in PATHS] or PATHS), label="path")
        content = {path: self.model[name, original]} | self.held(name) | {path: self.model[name, original]}
        content[original] = text
        first = chosen.draw(st.sampled_from([path, original]), label="first")
        self.sync(name, {first: content[first]} | content, prune=prune, failed=set())

    @precondition(lambda self: self.model)
    @rule(chosen=st.data(), name=names, path=paths, text=texts)
    def copy_a_text_to_another_source_and_change_it_there(
        self, chosen: st.DataObject, name: str, path: str, text: str
    ) -> None:
        source, original = chosen.draw(st.sampled_from(sorted(self.model)), label="original")
        self.sync(name, self.held(name) | {path: self.model[source, original]}, prune=None, failed=set())
        self.sync(source, self.held(source) | {original: text}, prune=None, failed=set())

    @rule(name=names)
    def a_source_vanishes(self, name: str) -> None:
        """Its documents stay, and may be taken over by another source that holds others under the same paths."""
        if self.folder(name).exists():
            self.folder(name).rmdir()

    def folder(self, name: str) -> Path:
        return self.path.parent / name

    def source(self, name: str) -> SourceName:
        return SourceName("folder", str(self.folder(name)), NAMES[name])

    def held(self, name: str) -> dict[str, str]:
        return {path: text for (source, path), text in self.model.items() if source == name}

    def leave_what_was_taken_over(self) -> None:
        """Forget what a source that is gone has lost to others."""
        rows = self.rows()
        for name, path in list(self.model):
            if not self.folder(name).exists() and (name, path) not in rows:
                del self.model[name, path]

    def rows(self) -> dict[tuple[str, str], str]:
        """Return what the index holds: the text by source and path."""
        found = store_of(self.index).rows(
            "SELECT location, path, text FROM origins JOIN sources s ON s.number = source"
            " JOIN documents d ON d.number = document"
        )
        return {(Path(location).name, path): text for location, path, text in found}

    @precondition(lambda self: self.model)
    @rule(chosen=st.data())
    def remove(self, chosen: st.DataObject) -> None:
        id = chosen.draw(st.sampled_from(sorted(self.ids())), label="id")
        gone = store_of(self.index).rows(
            "SELECT location, path FROM origins JOIN sources ON number = source"
            " WHERE document = (SELECT number FROM documents WHERE id = ?)",
            id,
        )
        assert self.index.remove([id]) == 1
        for location, path in gone:
            del self.model[Path(location).name, path]

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.index = Index.open(self.path)
        self.index.batch = self.batch

    # What must be true

    def ids(self) -> set[str]:
        return ids_of(self.index)

    @invariant()
    def it_holds_what_the_sources_hold(self) -> None:
        assert self.rows() == self.model

    @rule()
    def nothing_is_wrong_with_it(self) -> None:
        problems = [one for one in verify.problems(self.index) if not (self.damaged and "FAISS" in one)]
        assert [one for one in problems if not (self.damaged and "index.faiss" in one)] == []


class IndexMachine(SyncMachine):
    """The same, and everything else that is done to an index, and that it answers right."""

    # Which encoder answers

    @rule()
    def change_the_encoder(self) -> None:
        self.encoder = self.encoders[1 - self.encoders.index(self.encoder)]
        assert reindexing.reindex(self.index, self.encoder, gate=GateOptions(max_loss=1)).published

    @precondition(lambda self: bool(store_of(self.index).generations("retired")))
    @rule()
    def go_back(self) -> None:
        target = store_of(self.index).generations("retired")[-1]
        assert generations.rollback(self.index, to=target.number).generation == target.number
        self.encoder = next(one for one in self.encoders if one.fingerprint == target.fingerprint)

    @rule()
    def prune(self) -> None:
        generations.prune(self.index, keep=1)
        assert [one.state for one in store_of(self.index).generations()] == ["live"]

    # What happens to the snapshot

    @rule()
    def write_faiss_file(self) -> None:
        write_faiss_file(self.path)
        self.kept = self.snapshot.read_bytes()
        self.damaged.discard(self.index.generation().number)

    @precondition(lambda self: self.kept is not None)
    @rule(damage=st.sampled_from(["delete", "truncate", "flip", "put back an old one"]))
    def damage_snapshot(self, damage: str) -> None:
        content = bytearray(self.snapshot.read_bytes() if self.snapshot.exists() else b"")
        self.snapshot.unlink(missing_ok=True)
        if damage == "truncate":
            self.snapshot.write_bytes(content[: len(content) // 2])
        elif damage == "flip" and content:
            content[len(content) // 2] ^= 1
            self.snapshot.write_bytes(content)
        elif damage == "put back an old one" and self.kept is not None:
            self.snapshot.write_bytes(self.kept)
        self.damaged.add(self.index.generation().number)
        self.reopen()

    @property
    def snapshot(self) -> Path:
        return faiss_file(self.index)

    # What must be true

    def ranked(self, query: str, embedded: list[Any]) -> list[scoring.Ranked]:
        """Rank documents by brute force; a text of which the encoder knows nothing is similar to nothing."""
        nothing = embeddings(self.encoder, "")[0].astype(np.float32)
        return scoring.rank(embeddings(self.encoder, query).astype(np.float32), embedded, nothing=nothing)

    @invariant()
    def both_readers_answer_as_brute_force_does(self) -> None:
        held = store_of(self.index).rows("SELECT id, text FROM documents ORDER BY number")
        embedded = [embeddings(self.encoder, text) for _, text in held]
        for k, index in ((3, self.index), (50, self.reader)):
            for query, result in zip(QUERIES, index.search_many(QUERIES, k, mode="dense"), strict=True):
                expected = self.ranked(query, embedded)
                assert_answers(result, {held[one.position][0]: one.score for one in expected}, k)

    @invariant()
    def a_filter_leaves_what_brute_force_finds_among_those_that_meet_it(self) -> None:
        held = store_of(self.index).rows("SELECT id, text FROM documents WHERE id LIKE 'b/%' ORDER BY number")
        embedded = [embeddings(self.encoder, text) for _, text in held]
        for k in (1, 50):
            for query, result in zip(
                QUERIES, self.reader.search_many(QUERIES, k, mode="dense", within="b"), strict=True
            ):
                expected = self.ranked(query, embedded)
                assert_answers(result, {held[one.position][0]: one.score for one in expected}, k)

    @invariant()
    def nothing_is_similar_to_itself(self) -> None:
        ids = self.ids()
        for id in sorted(ids)[:2]:
            found = [hit.id for hit in self.reader.similar(id, 50).hits]
            assert sorted(found) == sorted(ids - {id})


@cache
def embeddings(encoder: Encoder, text: str) -> NDArray[np.float16]:
    """Return the embeddings of a text's passages as the store would keep them."""
    document = Document("query", text)
    rows = encoder.encode(passages.inputs(document, passages.split(text)))
    return rows.astype(np.float16)


def assert_answers(result: SearchResult, best: dict[str, float], k: int) -> None:
    """Assert that the hits are ``k`` of the best documents with their scores; which of equals come is left open."""
    scores = list(best.values())[:k]
    assert len(result.hits) == len(scores)
    np.testing.assert_allclose([hit.score for hit in result.hits], scores, atol=2e-3)
    assert len({hit.id for hit in result.hits}) == len(scores)
    for hit in result.hits:
        assert hit.score == pytest.approx(best[hit.id], abs=2e-3)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let FAISS search in one thread: on a busy machine its threads wait for each other longer than they search."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("index_type", ["auto", "IVF1,SQ8", "HNSW8,Flat"])
@pytest.mark.properties
def test_an_index_answers_as_brute_force_over_a_dict_whatever_is_done_to_it(
    tiny_encoder_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index_type: str
) -> None:
    other = with_other_dim(tiny_encoder_dir, tmp_path / "other", 24)
    for name, value in (("LEAST", 1), ("PROPOSED", 1), ("TUNED_NEIGHBOURS", 1), ("BROADEST", 4)):
        monkeypatch.setattr(ann, name, value)  # so that a dozen passages are searched approximately
    IndexMachine.encoders = (Encoder.load(tiny_encoder_dir), Encoder.load(other))
    IndexMachine.index_type = index_type
    run_state_machine_as_test(
        IndexMachine,
        settings=settings(
            max_examples=examples(4, 15) if index_type == "auto" else examples(2, 8),
            stateful_step_count=12,
            deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking takes minutes; turn it on to debug
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


@pytest.mark.parametrize("batch", [1, 1_000_000])  # characters: each document by itself, or all of a source together
@pytest.mark.properties
def test_an_index_holds_what_its_sources_hold_whatever_they_exchange(tiny_encoder_dir: Path, batch: int) -> None:
    encoders = (Encoder.load(tiny_encoder_dir),) * 2
    run_state_machine_as_test(
        type("SyncMachineOfBatches", (SyncMachine,), {"batch": batch, "encoders": encoders}),
        settings=settings(
            max_examples=examples(4, 40),
            stateful_step_count=16,
            deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
