"""Everything that only reads does so again when the index was changed meanwhile, if its engine cannot prevent that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from docsim.encoding.encoder import Encoder
from docsim.engine.local.engine import LocalEngine
from docsim.engine.local.open_generation import OpenGeneration
from docsim.engine.retrying import retried
from docsim.errors import IndexChanged
from docsim.evaluation import comparison
from docsim.index import Index
from docsim.jobs import adapt
from docsim.models import Document
from docsim.reindex import gate, mapped_recall, probe


class ChangedOnce(LocalEngine):
    """An engine whose next snapshot turns out, at its end, to have been written to."""

    is_changed = False

    @contextmanager
    def snapshot(self, *, encoder: bool = False) -> Iterator[OpenGeneration]:
        with super().snapshot(encoder=encoder) as snapshot:
            yield snapshot
        if self.is_changed:
            self.is_changed = False
            raise IndexChanged("changed")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    path = tmp_path_factory.mktemp("retrying") / "index"
    words = [f"word{number}" for number in range(60)]
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document(f"d{n}", " ".join(words[n:] + words[:n])) for n in range(12)])
    return path


READERS: dict[str, Callable[[Index], object]] = {
    "checks of the gate": gate.checks,
    "questions made from documents": probe.from_documents,
    "answers to questions made from documents": lambda index: probe.from_documents(index).ask(index),
    "recall of mapped embeddings": lambda index: mapped_recall.measure(index, index, index, []),
    "comparison of encoders": lambda index: comparison.encode_twice(index.engine, (index.encoder,) * 2).ids,
    "what adapting has to do": lambda index: adapt.task(index).digest,
    "documents": lambda index: index.document("d3"),
}


@pytest.mark.parametrize("name", READERS)
def test_what_was_read_while_the_index_changed_is_read_again(name: str, path: Path) -> None:
    engine = ChangedOnce(path)
    with Index(engine) as index:
        expected = READERS[name](index)
        engine.is_changed = True
        assert READERS[name](index) == expected
        assert not engine.is_changed, "it reads no snapshot"


def test_what_only_reads_is_called_again_a_limited_number_of_times() -> None:
    calls: list[int] = []

    @retried
    def read(fails: int) -> str:
        calls.append(1)
        if len(calls) <= fails:
            raise IndexChanged("changed")
        return "read"

    assert read(2) == "read"
    assert len(calls) == 3
    calls.clear()
    with pytest.raises(IndexChanged):
        read(10_000)
