"""A state machine: whatever is done to an index, it holds and answers what a dict and brute force say."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import ClassVar

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
from opened import ids_of, snapshot_file, snapshot_of, texts_of, write_snapshot

from docsim.encoding.encoder import Encoder
from docsim.engine.local import ann
from docsim.engine.records import Generation, SourceName
from docsim.index import Index
from docsim.ingest import passages
from docsim.maintenance import verify
from docsim.models import Document, Failure, SearchResult
from docsim.reindex import rebuilding
from docsim.reindex.examination import GateOptions
from docsim.search import scoring

SOURCES = {name: SourceName("python", f"/{name}", name) for name in "ab"}
PATHS = ["x", "y", "a/x", "b/x", "b/b/x", "z"]
LONG = "\n\n".join(f"# Part {i}\n\n" + "restore the database from a backup " * 20 + f"number {i}" for i in range(5))
TEXTS = ["lentils soup", "rotate signing keys", "train ticket", "restore the server", "", LONG, LONG + " and soup"]
QUERIES = ["soup", "a train to the database", LONG[:3000]]

names = st.sampled_from(sorted(SOURCES))
paths = st.sampled_from(PATHS)
texts = st.sampled_from(TEXTS)
contents = st.dictionaries(paths, texts, max_size=5)
prunes = st.sampled_from([None, None, True, False])


class IndexMachine(RuleBasedStateMachine):
    """The index beside its model: which text each source holds under each path."""

    encoders: ClassVar[tuple[Encoder, Encoder]]
    index_type: ClassVar[str] = "auto"

    @initialize()
    def begin(self) -> None:
        self.path = Path(tempfile.mkdtemp()) / "index"
        self.model: dict[tuple[str, str], str] = {}
        self.encoder = self.encoders[0]
        self.index = Index.create(self.path, encoder=self.encoder, index_type=self.index_type)
        self.reader = Index.open(self.path)  # never opened again: it has to catch up with everything
        self.kept: bytes | None = None
        self.damaged: set[int] = set()  # generations with a snapshot that was tampered with

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
        planned = self.index.sync([*documents, *failures], source=SOURCES[name], prune=prune, dry_run=True)
        done = self.index.sync([*documents, *failures], source=SOURCES[name], prune=prune)
        assert done == planned
        held = {path for source, path in self.model if source == name}
        if prune if prune is not None else bool(documents or failures):
            for path in held - set(content) - failed:
                del self.model[name, path]
        self.model.update({(name, document.id): document.text for document in documents})

    @rule(name=names, path=paths, text=texts)
    def add_or_change(self, name: str, path: str, text: str) -> None:
        self.index.sync([Document(path, text)], source=SOURCES[name], prune=False)
        self.model[name, path] = text

    @precondition(lambda self: self.model)
    @rule(chosen=st.data())
    def remove(self, chosen: st.DataObject) -> None:
        id = chosen.draw(st.sampled_from(sorted(self.ids())), label="id")
        gone = self.index.engine.sources().holders(self.index.document(id).number)
        assert self.index.remove([id]) == 1
        for one in gone:
            del self.model[one.name.name, one.path]

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.index = Index.open(self.path)

    # Which encoder answers

    @rule()
    def change_the_encoder(self) -> None:
        self.encoder = self.encoders[1 - self.encoders.index(self.encoder)]
        assert rebuilding.reindex(self.index, self.encoder, gate=GateOptions(max_loss=1)).published

    @precondition(lambda self: self.retired())
    @rule()
    def go_back(self) -> None:
        target = self.retired()[-1]
        assert rebuilding.rollback(self.index, to=target.number).generation == target.number
        self.encoder = next(one for one in self.encoders if one.fingerprint == target.fingerprint)

    @rule()
    def prune(self) -> None:
        rebuilding.prune(self.index, keep=1)
        assert [one.generation.state for one in self.index.engine.generations()] == ["live"]

    # What happens to the snapshot

    @rule()
    def write_snapshot(self) -> None:
        write_snapshot(self.path)
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
        return snapshot_file(self.index)

    def retired(self) -> list[Generation]:
        return [one.generation for one in self.index.engine.generations() if one.generation.state == "retired"]

    # What must be true

    def ids(self) -> set[str]:
        return ids_of(self.index)

    @invariant()
    def it_holds_what_the_sources_hold(self) -> None:
        sources = self.index.engine.sources()
        with snapshot_of(self.index) as snapshot:
            documents = list(snapshot.scan())
        held = {(on.name.name, on.path): one.document.text for one in documents for on in sources.holders(one.number)}
        assert held == self.model
        for recorded in sources.sources():
            assert recorded.documents == sum(name == recorded.source.name for name, _ in self.model)

    @rule()
    def nothing_is_wrong_with_it(self) -> None:
        problems = [one for one in verify.problems(self.index) if not (self.damaged and "FAISS" in one)]
        assert [one for one in problems if not (self.damaged and "index.faiss" in one)] == []

    @invariant()
    def both_readers_answer_as_brute_force_does(self) -> None:
        held = list(texts_of(self.index).items())  # in order of their numbers
        embedded = [embeddings(self.encoder, text) for _, text in held]
        for k, index in ((3, self.index), (50, self.reader)):
            for query, result in zip(QUERIES, index.search_many(QUERIES, k, mode="dense"), strict=True):
                expected = scoring.rank(embeddings(self.encoder, query).astype(np.float32), embedded)
                assert_answers(result, {held[one.position][0]: one.score for one in expected}, k)

    @invariant()
    def a_filter_leaves_what_brute_force_finds_among_those_that_meet_it(self) -> None:
        held = [(id, text) for id, text in texts_of(self.index).items() if id.startswith("b/")]
        embedded = [embeddings(self.encoder, text) for _, text in held]
        for k in (1, 50):
            for query, result in zip(
                QUERIES, self.reader.search_many(QUERIES, k, mode="dense", within="b"), strict=True
            ):
                expected = scoring.rank(embeddings(self.encoder, query).astype(np.float32), embedded)
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
            max_examples=examples(*((6, 15) if index_type == "auto" else (3, 8))),
            stateful_step_count=12,
            deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking takes minutes; turn it on to debug
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
