from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import toy_training
from encoder_variants import reading_fewer_tokens

from docsim.encoding.encoder import Encoder, read_manifest
from docsim.errors import EncoderError, EncoderGone
from docsim.index import Index
from docsim.jobs import adapt
from docsim.jobs.adapt import AdaptOptions
from docsim.maintenance import verify
from docsim.models import Document
from docsim.reindex.examination import GateOptions
from docsim.reindex.generations import prune, rollback
from docsim.reindex.reindexing import reindex
from docsim.training.towers.saving import Lineage, save

UNMEASURED = GateOptions(publish_anyway=True)  # two documents are too few to measure anything


@pytest.fixture(scope="module")
def encoder(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


@pytest.fixture(scope="module")
def adapted(tiny_encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """What stands for an encoder that was adapted: another one than the start."""
    return Encoder.load(reading_fewer_tokens(tiny_encoder_dir, tmp_path_factory.mktemp("encoders") / "adapted"))


@pytest.fixture
def index(tmp_path: Path, encoder: Encoder) -> Iterator[Index]:
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        index.sync([Document("a", "soup"), Document("b", "keys")])
        yield index


def task(index: Index, *, seed: int = 0, start: Path | None = None) -> adapt.Task:
    return adapt.task(index, AdaptOptions(start=start, seed=seed))


def published(index: Index, encoder: Encoder) -> adapt.Task:
    """Note an adaptation and publish it, as ``docsim adapt`` does."""
    found = task(index)
    adapt.note(index, found, encoder)
    reindex(index, encoder, base=found.base, gate=UNMEASURED)
    return found


def test_an_index_that_was_never_adapted_starts_from_its_own_encoder(index: Index, encoder: Encoder) -> None:
    found = task(index)
    assert (found.base.fingerprint, found.known, found.is_live, found.live) == (encoder.fingerprint, None, False, 1)


def test_an_adapted_index_starts_from_the_encoder_before_each_time(
    index: Index, encoder: Encoder, adapted: Encoder
) -> None:
    published(index, adapted)
    prune(index, keep=1)
    assert index.encoder.fingerprint == adapted.fingerprint
    assert task(index).base.fingerprint == encoder.fingerprint


def test_an_encoder_that_the_user_published_is_the_start(index: Index, adapted: Encoder) -> None:
    reindex(index, adapted, gate=UNMEASURED)
    assert task(index).base.fingerprint == adapted.fingerprint


def test_nothing_is_to_be_done_when_nothing_has_changed(index: Index, adapted: Encoder) -> None:
    published(index, adapted)
    found = task(index)
    assert found.is_live
    assert found.known is not None
    assert found.known.fingerprint == adapted.fingerprint


@pytest.mark.parametrize("documents", [[], [Document("a", "quite different")], [Document("c", "new")]])
def test_changed_documents_are_learned_from_anew(index: Index, adapted: Encoder, documents: list[Document]) -> None:
    published(index, adapted)
    if documents:
        index.sync(documents, prune=False)
    else:
        index.remove(["b"])
    assert task(index).known is None


def test_where_nothing_was_learned_nothing_is_to_be_done(index: Index, encoder: Encoder) -> None:
    adapt.note(index, task(index), None)
    found = task(index)
    assert (found.is_futile, found.known, found.is_live) == (True, None, False)
    done = adapt.adapt(index, AdaptOptions(gate=UNMEASURED))
    assert done.trained is None
    assert (done.reindexed.generation, done.reindexed.previous) == (1, 1)
    assert "generation 1 goes on answering" in str(done.reindexed.unchanged)
    assert index.encoder.fingerprint == encoder.fingerprint
    assert len(index.engine.generations()) == 1


def test_where_nothing_was_learned_changed_documents_are_tried(index: Index) -> None:
    adapt.note(index, task(index), None)
    index.sync([Document("c", "new")], prune=False)
    assert not task(index).is_futile


def test_other_settings_are_learned_with_anew(index: Index, adapted: Encoder) -> None:
    published(index, adapted)
    assert task(index, seed=1).known is None


def test_what_an_older_recipe_made_is_learned_anew(
    index: Index, adapted: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(index, adapted)
    monkeypatch.setattr(adapt, "RECIPE", adapt.RECIPE + 1)
    assert task(index).known is None


def test_what_was_learned_is_used_again_after_going_back(index: Index, adapted: Encoder) -> None:
    published(index, adapted)
    rollback(index)
    found = task(index)
    assert not found.is_live
    assert found.known is not None
    assert found.known.path == index.path / "generations" / "0002" / "encoder"


def test_what_was_learned_and_is_gone_is_learned_anew(index: Index, adapted: Encoder) -> None:
    published(index, adapted)
    rollback(index)
    prune(index, keep=1)
    assert task(index).known is None


def test_another_start_can_be_named_and_has_to_be_an_encoder(index: Index, adapted: Encoder, tmp_path: Path) -> None:
    assert task(index, start=adapted.path).base.fingerprint == adapted.fingerprint
    with pytest.raises(EncoderError, match="expected an encoder directory"):
        task(index, start=tmp_path)


class Interrupting:
    """Progress that does something once, as soon as an encoder is being trained."""

    def __init__(self, index: Index, work: Callable[[], object]) -> None:
        self._index, self._work, self._is_done = index, work, False

    def say(self, _: str) -> None:
        self.measure("")

    def begin(self, *_: object) -> None:
        self.measure("")

    def advance(self, _: int = 1) -> None:
        self.measure("")

    def measure(self, _: str) -> None:
        if not self._is_done and self._index.engine.workspace().exists():
            self._is_done = True
            self._work()


@pytest.mark.thorough
def test_the_start_may_be_removed_while_an_encoder_is_trained_from_it(tmp_path: Path, adapted: Encoder) -> None:
    save(toy_training.parts(), tmp_path / "toy", name="toy", lineage=Lineage(seed=0))
    encoder = Encoder.load(tmp_path / "toy")
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        index.sync(toy_training.documents(240))

        def remove_it() -> None:
            reindex(index, adapted, gate=UNMEASURED)
            prune(index, keep=1)
            assert not (index.path / "generations" / "0001").exists()

        options = AdaptOptions(time_limit=10, gate=UNMEASURED)
        done = adapt.adapt(index, options, progress=Interrupting(index, remove_it))
        assert done.trained is not None
        assert done.trained.learned
        assert done.reindexed.generation == 3
        assert done.reindexed.published
        assert not index.engine.workspace().exists()
        assert verify.problems(index) == []
        assert read_manifest(index.engine.base_directory(3))["fingerprint"] == encoder.fingerprint


def test_what_was_learned_may_be_removed_before_it_is_published(index: Index, adapted: Encoder) -> None:
    published(index, adapted)
    rollback(index)
    found = task(index)
    prune(index, keep=1)
    assert found.known is not None
    with pytest.raises(EncoderGone, match="was removed meanwhile; choose one again"):
        reindex(index, found.known, base=found.base, gate=UNMEASURED)
    assert [one.generation.number for one in index.engine.generations()] == [1]
    adapt.note(index, found, None)  # two documents are too few to learn from anew
    assert adapt.carry_out(index, found, AdaptOptions()).reindexed.unchanged
