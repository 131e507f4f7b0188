from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from opened import engine_of, faiss_file, generation_of

from docsim.encoding.encoder import Encoder
from docsim.engine.local import ann, ann_files, ann_tuning, faiss_listing, generations
from docsim.engine.local.ann_files import ApproximateFacts
from docsim.index import Index
from docsim.maintenance import verify
from docsim.models import Document

COUNT = 1_200


@pytest.fixture
def encoder(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


def known(index: Index) -> ApproximateFacts | None:
    return ann_files.written(generations.directory(index.path, index.generation().number))


def test_auto_stays_exact_where_searching_approximately_would_be_no_faster(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ann, "AUTO_FROM", 1_000)
    monkeypatch.setattr(ann, "BROADEST", 0.1)  # of 1,200 vectors, fewer than have to be proposed
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        index.sync(Document(f"{i}", "aaaa") for i in range(COUNT))
        facts = known(index)
        assert facts is not None
        assert facts.factory == ""
        assert verify.warnings(index) == []
        assert verify.problems(index) == []
        assert len(index.search("aaaa", 10, mode="dense").hits) == 10


def test_auto_stays_exact_where_the_recall_is_not_reached(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ann, "AUTO_FROM", 1_000)
    monkeypatch.setattr(ann, "LISTS_FROM", 1_000)
    monkeypatch.setattr(ann_tuning, "MARGIN", 0.0)
    texts = [f"soup {i} {i * 7919 % 2_400} {i * 104_729 % 2_400}" for i in range(2_400)]
    with Index.create(tmp_path / "index", encoder=encoder, recall=1.0) as index:
        index.sync(Document(f"{i}", text) for i, text in enumerate(texts))
        facts = known(index)
        assert facts is not None
        assert facts.factory == ""
        assert verify.warnings(index) == []
        assert verify.problems(index) == []


def test_where_all_passages_are_the_same_any_of_them_counts_as_found(tmp_path: Path, encoder: Encoder) -> None:
    with Index.create(tmp_path / "index", encoder=encoder, index_type="ivf") as index:
        index.sync(Document(f"{i}", "aaaa") for i in range(COUNT))
        facts = known(index)
        assert facts is not None
        assert facts.recall == 1
        assert ann_tuning.doubts(facts, COUNT) == []


@pytest.mark.parametrize(("lists_from", "begins", "least"), [(1_000, "IVF", 0.8), (3_000, "PQ16x4fs", 0.99)])
def test_auto_searches_approximately_where_that_reaches_the_recall(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch, lists_from: int, begins: str, least: float
) -> None:
    monkeypatch.setattr(ann, "AUTO_FROM", 1_000)
    monkeypatch.setattr(ann, "LISTS_FROM", lists_from)
    words = "train ticket keys rotate boil lentils soup server deploy database backup restore house garden".split()  # noqa: SIM905
    texts = [f"{words[i % 14]} {words[i // 14 % 14]} {words[i // 196 % 14]} {i}" for i in range(2_400)]
    with Index.create(tmp_path / "index", encoder=encoder, recall=0.8) as index:
        index.sync(Document(f"{i}", text) for i, text in enumerate(texts))
        facts = known(index)
        assert facts is not None
        assert facts.factory.startswith(begins)
        assert facts.recall >= least
        assert verify.problems(index) == []
    with Index.open(tmp_path / "index") as index:  # what it answers comes through what was read from disk
        assert index.search(texts[700], 3, mode="dense").hits[0].id == "700"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    """An index that is searched through inverted lists; to be copied."""
    path = tmp_path_factory.mktemp("tuned") / "index"
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir), index_type="ivf") as index:
        index.sync(Document(f"{i}", f"soup {i}") for i in range(COUNT))
    return path


@pytest.mark.parametrize("pattern", ["approximate.*.lists", "approximate.faiss"])
def test_an_altered_file_is_told_by_verify_and_mended_by_repair(tmp_path: Path, tuned: Path, pattern: str) -> None:
    with Index.open(shutil.copytree(tuned, tmp_path / "index")) as index:
        (path,) = generations.directory(index.path, 1).glob(pattern)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        assert [problem for problem in verify.problems(index) if path.name in problem]
        verify.repair(index)
        assert verify.problems(index) == []


def test_a_listing_of_other_documents_is_told_by_verify_and_mended_by_repair(tmp_path: Path, encoder: Encoder) -> None:
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        index.sync(Document(f"{i}", f"soup {i}") for i in range(30))
        snapshot = faiss_file(index)
        digest = str(generation_of(index).snapshot_digest)
        listed = faiss_listing.load(snapshot, digest)
        assert len(listed) == 30
        wrong = listed.copy()
        wrong[3, 1] = 1
        faiss_listing.save(snapshot, digest, wrong)
        assert [problem for problem in verify.problems(index) if "listing" in problem]
        verify.repair(index)
        assert verify.problems(index) == []


def test_documents_removed_after_a_snapshot_are_not_listed_when_it_is_opened(tmp_path: Path, encoder: Encoder) -> None:
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        index.sync(Document(f"{i}", f"soup {i}") for i in range(100))
        index.remove(["3", "7"])
        assert verify.problems(index) == []
    with Index.open(tmp_path / "index") as index, engine_of(index).snapshot() as opened:
        assert len(opened.view.documents) == 98
        assert opened.embedded().tolist() == [number for number in range(1, 101) if number not in (4, 8)]
