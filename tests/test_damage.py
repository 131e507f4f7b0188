"""Damage is told before it answers: files of an index are altered at random, and questions asked."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import damages
import pytest
from damages import QUESTIONS, survey, told

from docsim import Encoder, Index
from docsim.errors import StoreError
from docsim.maintenance import verify
from docsim.serving.server_database import ServerDatabase
from docsim.serving.tokens import Tokens
from docsim.use.log import UseLog

_OF_PASSAGES = "UPDATE passages SET {} WHERE document = (SELECT number FROM documents WHERE id = ?)"


@pytest.fixture(scope="module")
def approximate(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    """An index that is searched approximately, with documents that came after its files were written."""
    path = tmp_path_factory.mktemp("damage") / "approximate"
    damages.approximate(path, Encoder.load(tiny_encoder_dir))
    return path


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    """An index that has every kind of file, answering over mapped embeddings."""
    path = tmp_path_factory.mktemp("damage") / "complete"
    damages.complete(path, Encoder.load(tiny_encoder_dir), path.parent)
    return path


@pytest.fixture
def copy(approximate: Path, tmp_path: Path) -> Path:
    return shutil.copytree(approximate, tmp_path / "copy")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE documents SET text = replace(text, 'Part', 'Fart') WHERE id = ?", "is not what was stored"),
        ("UPDATE documents SET title = 'Page 1' WHERE id = ?", "is not what was stored"),
        ("UPDATE documents SET metadata = '{}' WHERE id = ?", "is not what was stored"),
        (_OF_PASSAGES.format("start = start + 40"), "its passages are not those of its text"),
        (_OF_PASSAGES.format("heading = 'Elsewhere'"), "its passages are not those of its text"),
    ],
)
def test_a_damaged_document_is_no_hit_and_is_named(copy: Path, change: str, said: str) -> None:
    with Index.open(copy) as index:
        before = index.search(QUESTIONS[1], 3)
    with sqlite3.connect(copy / "index.db") as database:
        database.execute(change, (before.hits[0].id,))
    database.close()
    with Index.open(copy) as index:
        after = index.search(QUESTIONS[1], 3)
    assert [(hit.rank, hit.id) for hit in after.hits] == [(hit.rank, hit.id) for hit in before.hits[1:]]
    warning = after.warnings[-1]
    assert warning.startswith("hit 1 is left out, because document ")
    assert said in warning


def test_a_damaged_document_that_percentiles_are_drawn_from_is_named_with_every_answer(copy: Path) -> None:
    with Index.open(copy) as index:
        before = index.search(QUESTIONS[1], 3)
        with index.engine.snapshot() as snapshot:
            ids = [one.document.id for one in snapshot.documents(snapshot.sample(16).tolist()).values()]
    other = next(one for one in ids if one not in {hit.id for hit in before.hits})
    with sqlite3.connect(copy / "index.db") as database:
        database.execute("UPDATE documents SET text = text || 'x' WHERE id = ?", (other,))
    database.close()
    with Index.open(copy) as index:
        for _ in range(2):
            after = index.search(QUESTIONS[1], 3)
            assert [hit.id for hit in after.hits] == [hit.id for hit in before.hits]
            (warning,) = after.warnings
            assert warning.startswith(f"document {other} is damaged: its text, title or metadata is not what was")


def test_damaged_files_are_told_with_every_answer_until_they_are_mended(copy: Path) -> None:
    (lists,) = copy.glob("generations/0001/approximate.*.lists")
    (words, *_) = sorted(copy.glob("words/*.words"))
    with Index.open(copy) as index:
        right = told(index.search(QUESTIONS[0], 3))
    for file in (lists, words):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    with Index.open(copy) as index:
        for _ in range(2):
            answer = index.search(QUESTIONS[0], 3)
            assert told(answer) == right
            assert [("approximate" in one, ".words" in one) for one in answer.warnings] == [
                (True, False),
                (False, True),
            ]
        verify.repair(index)
    with Index.open(copy) as index:
        assert index.search(QUESTIONS[0], 3).warnings == ()


def test_an_index_that_is_surveyed_has_all_files_that_answer_and_those_of_people(complete: Path) -> None:
    kinds = set(damages.files(complete))
    assert kinds >= {
        *("./.db", "./.key", "words/.words", "generations/0002/.faiss", "generations/0002/.lists"),
        *("generations/0002/encoder/.onnx", "generations/0002/base/.json", "generations/0002/base/.onnx"),
        *("generations/0002/report/.json", "generations/0003/encoder/.json", "generations/0003/encoder/.onnx"),
        *("generations/0003/adapter/.npz", "generations/0003/adapter/.faiss"),
    }
    names = {path.name.partition(".")[0] for path in complete.rglob("*")}
    assert {"approximate", "documents", "serving", "use", "index"} <= names


def wrong(path: Path, work: Path, count: int, seed: int) -> list[dict[str, str]]:
    return [one for one in survey(path, work, count, seed) if one["wrong"]]


def test_no_damage_to_a_file_of_any_kind_gives_a_wrong_answer_without_a_word(complete: Path, tmp_path: Path) -> None:
    assert wrong(complete, tmp_path / "b", len(damages.files(complete)), seed=1) == []


@pytest.mark.thorough
def test_hundreds_of_damages_give_no_wrong_answer_without_a_word(
    approximate: Path, complete: Path, tmp_path: Path
) -> None:
    assert wrong(approximate, tmp_path / "a", 80, seed=2) + wrong(complete, tmp_path / "b", 160, seed=3) == []


def test_a_damaged_database_of_tokens_is_one_sentence(complete: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(complete, tmp_path / "copy")
    with sqlite3.connect(copy / "serving.db") as database:
        database.execute("UPDATE tokens SET groups = '[1'")
    database.close()
    with pytest.raises(StoreError, match="the record of a token is damaged; revoke it, and make another"):
        Tokens(ServerDatabase(copy)).list()
    content = bytearray((copy / "serving.db").read_bytes())
    content[4096:8192] = bytes(4096)
    (copy / "serving.db").write_bytes(content)
    with pytest.raises(StoreError, match="database of tokens and jobs"):
        Tokens(ServerDatabase(copy)).list()


def test_a_damaged_record_of_use_is_one_sentence(complete: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(complete, tmp_path / "copy")
    content = bytearray((copy / "use.db").read_bytes())
    for page in range(4096, len(content), 4096):
        content[page : page + 100] = b"x" * 100
    (copy / "use.db").write_bytes(content)
    with pytest.raises(StoreError, match="could not read the record of use"), UseLog.opened(copy) as log:
        log.counts()
