from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from mounted import sealed
from opened import faiss_file, store_of, write_faiss_file

from docsim.cli import main
from docsim.encoding.encoder import Encoder, fingerprint
from docsim.engine.local import generations
from docsim.engine.local import word_storage as storage
from docsim.engine.records import SourceName
from docsim.errors import DocsimError, StoreError
from docsim.index import Index
from docsim.maintenance import verify
from docsim.models import Document, Hit, SyncReport

LONG = "\n\n".join(f"# Part {i}\n\n" + f"restore the database from backup {i} " * 30 for i in range(6))
TEXTS = {"soup": "lentils soup", "keys": "rotate signing keys", "long": LONG}
DOCUMENTS = [Document(id, text, title=id, metadata={"n": len(text)}) for id, text in TEXTS.items()]


@pytest.fixture(scope="module")
def encoder(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> Path:
    """An index of three documents with a fresh snapshot."""
    path = tmp_path_factory.mktemp("made") / "index"
    with Index.create(path, encoder=encoder) as index:
        index.sync(DOCUMENTS)
        write_faiss_file(index.path)
    return path


@pytest.fixture
def index(made: Path, tmp_path: Path) -> Iterator[Index]:
    with Index.open(shutil.copytree(made, tmp_path / "index")) as index:
        yield index


def sql(index: Index, *statements: str) -> None:
    """Change the database behind the index's back; triggers and foreign keys do not interfere."""
    connection = sqlite3.connect(index.path / "index.db", isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def replace_vectors(
    index: Index, change: Callable[[np.ndarray[tuple[int, ...], np.dtype[np.float16]]], object]
) -> None:
    """Change the embeddings of ``long`` and give them a checksum that fits."""
    connection = sqlite3.connect(index.path / "index.db", isolation_level=None)
    number, blob = connection.execute("SELECT max(document), vectors FROM embeddings").fetchone()
    rows = np.frombuffer(blob, np.float16).copy()
    change(rows)
    values = (rows.tobytes(), zlib.crc32(rows.tobytes()), number)
    connection.execute("UPDATE embeddings SET vectors = ?, checksum = ? WHERE document = ?", values)
    connection.close()


def set_nan(rows: np.ndarray[tuple[int, ...], np.dtype[np.float16]]) -> None:
    rows[3] = np.nan


def double(rows: np.ndarray[tuple[int, ...], np.dtype[np.float16]]) -> None:
    rows *= 2


def negate(rows: np.ndarray[tuple[int, ...], np.dtype[np.float16]]) -> None:
    rows *= -1


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def words_file(index: Index) -> Path:
    return next(storage.folder(index.path).iterdir())


def flip_blob(index: Index) -> None:
    first = "SELECT substr(vectors, 1, 1) FROM embeddings WHERE document = 1"
    sql(
        index,
        "UPDATE embeddings SET vectors = cast(x'55' || substr(vectors, 2) AS BLOB) WHERE document = 1"
        f" AND ({first}) <> x'55'",
    )


def other_encoder(index: Index) -> None:
    """Put a sound encoder of another fingerprint in the place of the index's own."""
    folder = generations.directory(index.path, 1) / "encoder"
    manifest = json.loads((folder / "manifest.json").read_text()) | {"max_tokens": 9, "name": "other"}
    manifest["fingerprint"] = fingerprint(
        manifest["files"], preprocessing=Encoder.load(folder)._preprocessing, max_tokens=9
    )
    (folder / "manifest.json").write_text(json.dumps(manifest))


DAMAGES: dict[str, tuple[Callable[[Index], object], str]] = {
    "an embedding row deleted": (
        lambda i: sql(i, "DELETE FROM embeddings WHERE document = 2"),
        "the embeddings of keys are missing or damaged",
    ),
    "a byte of an embedding flipped": (flip_blob, "the embeddings of soup are missing or damaged"),
    "embeddings of another length": (
        lambda i: sql(i, "UPDATE embeddings SET vectors = zeroblob(20), checksum = 0 WHERE document = 1"),
        "the embeddings of soup are missing or damaged",
    ),
    "embeddings that are not numbers": (
        lambda i: replace_vectors(i, set_nan),
        "the embeddings of long are missing or damaged",
    ),
    "embeddings of another norm": (
        lambda i: replace_vectors(i, double),
        "the embeddings of long are missing or damaged",
    ),
    "embeddings that the snapshot does not hold": (lambda i: replace_vectors(i, negate), "disagrees with the stored"),
    "a flipped snapshot": (lambda i: flip(faiss_file(i)), "its checksum does not match"),
    "a deleted snapshot": (lambda i: faiss_file(i).unlink(), "could not read it"),
    "flipped words": (lambda i: flip(words_file(i)), ".words is missing or damaged"),
    "deleted words": (lambda i: words_file(i).unlink(), ".words is missing or damaged"),
    "words of too few documents": (lambda i: sql(i, "UPDATE words SET after = 1"), "disagree with the documents"),
    "words of too many documents": (
        lambda i: sql(i, "UPDATE words SET passage = passage - 1"),
        "disagree with the documents",
    ),
    "a passage too few": (
        lambda i: sql(i, "DELETE FROM passages WHERE number = (SELECT max(number) FROM passages)"),
        "1 documents whose passages do not match their count",
    ),
    "a passage beyond its text": (
        lambda i: sql(i, 'UPDATE passages SET "end" = 9999 WHERE number = 1'),
        "1 documents whose passages reach beyond their text",
    ),
    "a passage that was deleted": (
        lambda i: sql(i, "INSERT INTO deletions (first_passage, passages) VALUES (1, 1)"),
        "1 deleted passages that still exist",
    ),
    "a passage that starts late": (
        lambda i: sql(i, "UPDATE passages SET start = start + 7 WHERE number = 2"),
        "the passages of keys leave out some of its text",
    ),
    "a passage that ends early": (
        lambda i: sql(i, 'UPDATE passages SET "end" = "end" - 7 WHERE number = (SELECT max(number) FROM passages)'),
        "the passages of long leave out some of its text",
    ),
}
"""What can be mended, how to plant it, and what is said of it."""

LOSSES: dict[str, tuple[Callable[[Index], object], str]] = {
    "a passage of no document": (
        lambda i: sql(i, "INSERT INTO passages VALUES (900, 77, 0, 1, '')"),
        "1 passages of no document",
    ),
    "embeddings of no document": (
        lambda i: sql(i, "INSERT INTO embeddings SELECT 99, 1, 77, 900, vectors, checksum FROM embeddings LIMIT 1"),
        "1 embeddings of no document",
    ),
    "embeddings of no generation": (
        lambda i: sql(i, "INSERT INTO embeddings SELECT 99, 5, 1, 1, vectors, checksum FROM embeddings LIMIT 1"),
        "1 embeddings of no generation",
    ),
    "a document of no source": (
        lambda i: sql(i, "DELETE FROM origins WHERE path = 'soup'"),
        "1 documents of no source",
    ),
    "an altered text": (
        lambda i: sql(i, "UPDATE documents SET text = 'altered soup' WHERE id = 'soup'"),
        "the text of soup is not what was stored",
    ),
    "altered metadata": (
        lambda i: sql(i, """UPDATE documents SET metadata = '{"team": "sre"}' WHERE id = 'soup'"""),
        "the text of soup is not what was stored",
    ),
    "metadata that is no JSON": (
        lambda i: sql(i, "UPDATE documents SET metadata = '{' WHERE id = 'soup'"),
        "the text of soup is not what was stored",
    ),
    "metadata that is another JSON": (
        lambda i: sql(i, "UPDATE documents SET metadata = '[1]' WHERE id = 'soup'"),
        "the text of soup is not what was stored",
    ),
    "a text that is no UTF-8": (
        lambda i: sql(i, "UPDATE documents SET text = cast(x'6cff6e74' AS TEXT) WHERE id = 'soup'"),
        "the text of soup is not what was stored",
    ),
    "a text that is no text": (
        lambda i: sql(i, "UPDATE documents SET text = x'6c656e74' WHERE id = 'soup'"),
        "the text of soup is not what was stored",
    ),
    "an altered digest": (
        lambda i: sql(i, "UPDATE documents SET digest = 'f00' WHERE id = 'soup'"),
        "the text of soup is not what was stored",
    ),
    "an altered title": (
        lambda i: sql(i, "UPDATE documents SET title = 'altered' WHERE id = 'soup'"),
        "the text of soup is not what was stored",
    ),
    "a row that refers to nothing": (
        lambda i: sql(i, "UPDATE origins SET document = 77 WHERE path = 'soup'"),
        "a row of origins refers to a row of documents that does not exist",
    ),
    "a flipped encoder": (
        lambda i: flip(generations.directory(i.path, 1) / "encoder" / "tower.onnx"),
        "tower.onnx does not match its digest",
    ),
    "a deleted encoder": (
        lambda i: shutil.rmtree(generations.directory(i.path, 1) / "encoder"),
        "expected an encoder directory",
    ),
    "another encoder": (other_encoder, "answers only with its own encoder"),
}
"""What cannot be mended from the index's own rows."""

BOTH = DAMAGES | LOSSES


def test_a_sound_index_has_no_problems(index: Index) -> None:
    assert verify.problems(index) == []


def test_an_empty_index_has_no_problems(tmp_path: Path, encoder: Encoder) -> None:
    with Index.create(tmp_path / "empty", encoder=encoder) as empty:
        assert verify.problems(empty) == []


@pytest.mark.parametrize("damage", BOTH)
def test_planted_damage_is_found_and_named(index: Index, damage: str) -> None:
    plant, expected = BOTH[damage]
    plant(index)
    with Index.open(index.path) as reopened:
        found = verify.problems(reopened)
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize("damage", DAMAGES)
def test_repair_mends_what_can_be_rebuilt(index: Index, damage: str) -> None:
    expected = index.search("restore soup", 10).hits
    DAMAGES[damage][0](index)
    with Index.open(index.path) as reopened:
        verify.repair(reopened)
        assert verify.problems(reopened) == []
        if "snapshot does not hold" not in damage:  # of two that disagree, the stored ones count
            assert_alike(reopened.search("restore soup", 10).hits, expected)


@pytest.mark.parametrize("damage", LOSSES)
def test_what_cannot_be_mended_is_still_named_after_a_repair(index: Index, damage: str) -> None:
    LOSSES[damage][0](index)
    with Index.open(index.path) as reopened:
        with contextlib.suppress(DocsimError):  # anything else would be a traceback
            verify.repair(reopened)
        assert verify.problems(reopened) != []


LOST = [name for name, (_, expected) in LOSSES.items() if expected.startswith("the text of soup")]


@pytest.mark.parametrize("with_embeddings", [True, False])
@pytest.mark.parametrize("damage", LOST)
def test_a_damaged_document_is_named_until_its_source_brings_it_back(
    index: Index, damage: str, with_embeddings: bool
) -> None:
    """If its embeddings are damaged, too, they are made again, from what is there; that must not make it look sound."""
    LOSSES[damage][0](index)
    if with_embeddings:
        flip_blob(index)
    with Index.open(index.path) as reopened:
        for _ in range(2):
            assert verify.repair(reopened) == ["soup"]
            assert any("the text of soup is not what was stored" in one for one in verify.problems(reopened))
        planned = reopened.sync(DOCUMENTS, dry_run=True)
        assert planned == reopened.sync(DOCUMENTS) == SyncReport(changed=1, unchanged=2)
        assert verify.problems(reopened) == []
        assert reopened.document("soup").document == DOCUMENTS[0]
        assert reopened.search("lentils soup", 1).hits[0].id == "soup"
        assert verify.repair(reopened) == []
        assert reopened.sync(DOCUMENTS) == SyncReport(unchanged=3)


def test_a_document_whose_metadata_cannot_be_read_is_mended_where_it_had_none(index: Index) -> None:
    index.sync([Document("soup", "lentils")])
    LOSSES["metadata that is no JSON"][0](index)
    with Index.open(index.path) as reopened:
        assert verify.repair(reopened) == []
        assert verify.problems(reopened) == []


def test_a_damaged_document_that_two_sources_have_comes_back_from_either(index: Index) -> None:
    other = SourceName("python", "/other", "other")
    index.sync(DOCUMENTS[:1], source=other)
    LOSSES["an altered text"][0](index)
    verify.repair(index)
    index.sync(DOCUMENTS[:1], source=other)
    assert verify.problems(index) == []
    assert index.sync(DOCUMENTS) == SyncReport(unchanged=3)
    assert store_of(index).value("SELECT count(*) FROM origins WHERE path = 'soup'") == 2


def test_a_document_whose_row_was_lost_comes_back_from_its_source(index: Index) -> None:
    sql(index, "DELETE FROM documents WHERE id = 'soup'")
    with Index.open(index.path) as reopened:
        verify.repair(reopened)
        assert any("origins of no document" in one for one in verify.problems(reopened))
        report = reopened.sync(DOCUMENTS)
        assert report == SyncReport(added=1, unchanged=2)
        assert reopened.search("lentils soup", 1).hits[0].id == "soup"
        assert not any("origins" in one for one in verify.problems(reopened))


def test_a_damaged_document_of_no_source_comes_back_from_its_source(index: Index) -> None:
    LOSSES["a document of no source"][0](index)
    LOSSES["an altered text"][0](index)
    verify.repair(index)
    index.sync(DOCUMENTS)
    assert verify.problems(index) == []
    assert index.document("soup").document.text == TEXTS["soup"]


def test_a_search_that_meets_damaged_metadata_says_so(index: Index) -> None:
    LOSSES["metadata that is no JSON"][0](index)
    with Index.open(index.path) as reopened, pytest.raises(StoreError, match=r"stored of soup .* is damaged"):
        reopened.search("lentils soup", mode="dense")


def test_repair_on_the_command_line_names_what_is_lost(index: Index) -> None:
    LOSSES["an altered title"][0](index)
    index.close()
    for output in ([], ["--quiet"], ["--json"]):
        done = CliRunner().invoke(main, ["repair", "--index", str(index.path), *output])
        assert done.exit_code == 1
        assert "What is stored of soup is damaged and cannot be rebuilt" in done.stderr
        assert "docsim index SOURCE" in done.stderr
    assert json.loads(done.stdout)["lost"] == ["soup"]


def test_two_kinds_of_damage_are_both_named(index: Index) -> None:
    flip_blob(index)
    DAMAGES["flipped words"][0](index)
    LOSSES["a document of no source"][0](index)
    problems = " ".join(verify.problems(index))
    for expected in ("embeddings of soup", ".words is missing", "documents of no source"):
        assert expected in problems


@pytest.mark.parametrize("damage", ["an embedding row deleted", "a byte of an embedding flipped"])
@pytest.mark.parametrize("with_snapshot", [True, False])
def test_damaged_embeddings_never_give_a_wrong_answer(index: Index, damage: str, with_snapshot: bool) -> None:
    """What is left of them in the snapshot answers; what is left nowhere is an error, or missing if its row is."""
    expected = {query: index.search(query, mode="dense").hits for query in TEXTS.values()}
    DAMAGES[damage][0](index)
    if not with_snapshot:
        faiss_file(index).unlink()
    with Index.open(index.path) as reopened:
        for query, hits in expected.items():
            with contextlib.suppress(StoreError):
                found = {hit.id: hit for hit in reopened.search(query, mode="dense").hits}
                assert_alike(tuple(found.values()), tuple(hit for hit in hits if hit.id in found))
                assert len(found) >= 2


def assert_alike(found: Sequence[Hit], expected: Sequence[Hit]) -> None:
    """Assert that hits are the same but for rounding and their rank."""
    assert [(hit.id, [one.text for one in hit.passages]) for hit in found] == [
        (hit.id, [one.text for one in hit.passages]) for hit in expected
    ]
    np.testing.assert_allclose([hit.score for hit in found], [hit.score for hit in expected], atol=1e-5)


def test_checking_changes_nothing(index: Index) -> None:
    revision = store_of(index).revision()
    verify.problems(index)
    assert store_of(index).revision() == revision


def test_repairing_a_sound_index_changes_no_answer(index: Index) -> None:
    expected = index.search("soup", 10).hits
    verify.repair(index)
    assert_alike(index.search("soup", 10).hits, expected)
    assert verify.problems(index) == []


def test_an_index_in_a_read_only_folder_can_be_checked_and_not_repaired(index: Index, tmp_path: Path) -> None:
    index.close()
    with sealed(index.path, tmp_path / "mounted") as mounted, Index.open(mounted) as opened:
        assert opened.search("soup").hits[0].id == "soup"
        assert verify.problems(opened) == []
        with pytest.raises(DocsimError, match="could not write"):
            verify.repair(opened)
        with pytest.raises(DocsimError, match="could not write"):
            opened.sync([Document("a", "b")])
