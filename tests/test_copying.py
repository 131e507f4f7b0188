"""Copies of an index from one engine to another: complete, verified, resumable."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from postgres_server import server
from tiny_encoder import WORDS
from turned_encoder import turned

from docsim.cli import main
from docsim.encoding.encoder import Encoder
from docsim.engine import opening
from docsim.engine.importing import Carried, Kept
from docsim.engine.records import SourceName
from docsim.errors import IndexLocked, StoreError, UsageError
from docsim.index import Index
from docsim.jobs import copying
from docsim.jobs.copying import copy_index
from docsim.maintenance import verify
from docsim.models import Document
from docsim.progress import SILENT
from docsim.reindex import generations, reindexing
from docsim.reindex.examination import GateOptions


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def documents(count: int = 30) -> list[Document]:
    random = np.random.default_rng(1)
    return [
        Document(
            f"d/{i}",
            "\n\n".join(" ".join(random.choice(WORDS[15:], 120)) for _ in range(1 + i % 3)),
            title=f"Page {i}",
            metadata={"team": ("sre", "legal")[i % 2], "deep": {"n": i}},
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    """An index with two generations, several sources and a failure in it, whose documents have changed."""
    folder = tmp_path_factory.mktemp("made")
    path, other = folder / "index", Encoder.load(turned(tiny_encoder_dir, folder / "turned"))
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync(documents())
        index.sync([Document("d/1", "another of the same id"), *documents()[2:4]], source=SourceName("api", "x", "x"))
        index.sync([Document("d/0", "changed"), *documents()[2:]])
        index.engine.keep_note("adapted", "to these")
        reindexing.reindex(index, other, gate=GateOptions(publish_anyway=True))
        index.sync([Document("late", "zebra")], source=SourceName("python", "late", "late"))
    return path


@pytest.fixture
def directory(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "index")


def answers(index: Index) -> list[list[tuple[str, float]]]:
    return [
        [(hit.id, round(hit.similarity, 3)) for hit in index.search(text, 9, where=where).hits]
        for text in ("restore a database backup", "zebra", documents()[7].text)
        for where in (None, "team = 'sre' and deep.n > 3")
    ]


def check_equal(one: str | Path, other: str | Path) -> None:
    with Index.open(one) as a, Index.open(other) as b:
        assert verify.problems(b) == []
        assert answers(a) == answers(b)
        facts = [i.engine.generations() for i in (a, b)]
        assert copying._told(facts[0]) == copying._told(facts[1])
        sources = [i.engine.sources() for i in (a, b)]
        assert sources[0].sources() == sources[1].sources()
        assert sources[0].failures() == sources[1].failures()
        assert a.engine.notes() == b.engine.notes()
        for generation in (one.generation for one in facts[0]):
            reports = [i.engine.report_directory(generation.number) for i in (a, b)]
            names = [sorted(file.name for file in report.glob("*")) for report in reports]
            assert names[0] == names[1]
            with a.at(generation.number) as old, b.at(generation.number) as new:
                held = []
                for each in (old, new):
                    with each.engine.snapshot() as snapshot:
                        numbers = snapshot.embedded()
                        held.append((numbers.tolist(), snapshot.stacked(numbers).rows.copy()))
                assert held[0][0] == held[1][0]
                np.testing.assert_array_equal(held[0][1], held[1][1])


def test_a_directory_goes_to_postgres_and_back_with_everything(directory: Path, tmp_path: Path) -> None:
    address = server().address()
    copied = copy_index(directory, address)
    assert (copied.documents, copied.generations) == (31, 2)
    check_equal(directory, address)
    copy_index(address, tmp_path / "back")
    check_equal(directory, tmp_path / "back")
    copy_index(address, server().address())
    with Index.open(address) as index:  # it is an index like any other
        done = generations.rollback(index)
        assert (done.generation, done.embedded) == (1, 1)
        assert (
            index.sync([Document("late", "zebra crossing")], source=SourceName("python", "late", "late")).changed == 1
        )
        assert index.sync([Document("more", "more")], source=SourceName("python", "more", "more")).added == 1
        assert verify.problems(index) == []


def test_a_copy_that_was_interrupted_goes_on_and_does_not_answer_before(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_DOCUMENTS", 5)
    for target in (server().address(), tmp_path / "other"):
        interrupt(directory, target, after=3)
        with pytest.raises(StoreError, match="never finished"):
            Index.open(target)
        added = interrupt(directory, target, after=99)
        assert added == 31 - 15
        check_equal(directory, target)


def interrupt(source: Path, target: str | Path, *, after: int) -> int:
    """Copy until so many transactions are committed; return how many documents were added."""
    counts: list[int] = []

    class Interrupted:
        def __init__(self, importer: object) -> None:
            self._importer = importer

        def begin(self, kept: Kept) -> int:
            return int(self._importer.begin(kept))  # type: ignore[attr-defined]

        def add(self, documents: Sequence[Carried]) -> None:
            if len(counts) == after:
                raise KeyboardInterrupt
            self._importer.add(documents)  # type: ignore[attr-defined]
            counts.append(len(documents))

        def finish(self, kept: Kept) -> None:
            self._importer.finish(kept)  # type: ignore[attr-defined]

    engine = opening.open_engine(source)
    with engine.snapshot():
        kept = copying._kept(engine)
    try:
        with opening.importer(target, wait=False) as importer:
            copying._copy(engine, kept, Interrupted(importer), SILENT)
    except KeyboardInterrupt:
        pass
    finally:
        engine.close()
    return sum(counts)


def test_an_unfinished_copy_of_another_state_is_made_anew(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_DOCUMENTS", 5)
    address = server().address()
    interrupt(directory, address, after=2)
    with Index.open(directory) as index:
        index.remove(["d/5"])
    assert copy_index(directory, address).documents == 30
    check_equal(directory, address)


def test_an_index_is_never_copied_over_another_nor_while_somebody_writes(directory: Path, tmp_path: Path) -> None:
    address = server().address()
    copy_index(directory, address)
    for target in (address, tmp_path / "index"):
        with pytest.raises(UsageError, match="expected"):
            copy_index(directory if target == address else address, target)
    with pytest.raises(UsageError, match="two places"):
        copy_index(address, address)
    with Index.open(address) as index, index.engine.writer(wait=False), pytest.raises(IndexLocked):
        copy_index(address, tmp_path / "elsewhere")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(StoreError, match="found other files"):
        copy_index(address, tmp_path / "full")


def test_the_command_copies_and_says_so(directory: Path) -> None:
    address = server().address()
    result = CliRunner().invoke(main, ["copy", str(directory), address])
    assert result.exit_code == 0, result.output
    assert f"Copied to {address}: 31 documents, 2 generations; verified." in result.output
