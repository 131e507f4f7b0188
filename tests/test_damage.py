"""Damage is told before it answers: files of an index are altered at random, and questions asked."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from tiny_encoder import WORDS
from turned_encoder import turned

from docsim import Document, Encoder, Index
from docsim.errors import DocsimError
from docsim.maintenance import verify
from docsim.models import SearchResult
from docsim.reindex.instant import upgrade

Answer: TypeAlias = list[tuple[object, ...]]

COUNT = 1_100
"""Documents: enough for an approximate index to propose from."""


def documents(count: int = COUNT, *, seed: int = 0) -> list[Document]:
    """Documents with headings, a title and metadata, no two alike; the first few of several passages."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        lines = [" ".join(random.choice(WORDS[15:], 9)) + "." for _ in range(25 if number < 20 else 1)]
        text = f"# Page {number}\n\n## Part\n\n" + "\n\n".join(lines)
        made.append(Document(f"{seed}/d{number}", text, f"Page {number}", {"team": f"t{number % 7}"}))
    return made


PAGES = documents()
QUESTIONS = [PAGES[number].text[-60:] for number in (3, 500, 900)]


_OF_PASSAGES = "UPDATE passages SET {} WHERE document = (SELECT number FROM documents WHERE id = ?)"


@pytest.fixture(scope="module")
def approximate(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    """An index that is searched approximately, with documents that came after its files were written."""
    path = tmp_path_factory.mktemp("damage") / "approximate"
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir), index_type="IVF16,SQ8", recall=0.8) as index:
        index.sync(PAGES)
        index.remove([PAGES[7].id])
        index.sync([*PAGES[:7], *PAGES[8:], *documents(3, seed=1)])
    return path


@pytest.fixture(scope="module")
def mapped(approximate: Path, tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    """The same, answering with a new encoder over mapped embeddings."""
    path = approximate.with_name("mapped")
    shutil.copytree(approximate, path)
    with Index.open(path) as index:
        assert upgrade(index, Encoder.load(turned(tiny_encoder_dir, tmp_path_factory.mktemp("turned") / "encoder")))
    return path


def told(result: SearchResult) -> Answer:
    """Return what of an answer must never be wrong without a word."""
    return [
        (hit.id, hit.title, round(hit.similarity, 3), str(hit.metadata), [one.text for one in hit.passages])
        for hit in result.hits
    ]


def answers(path: Path) -> Iterator[SearchResult]:
    with Index.open(path) as index:
        yield index.search(QUESTIONS[0], 5)
        yield index.search(QUESTIONS[1], 5, mode="dense")
        yield index.search(QUESTIONS[2], 5, mode="lexical")
        yield index.similar(PAGES[12].id, 5)


def files(path: Path) -> dict[str, list[Path]]:
    """Return the files of an index by kind, but for locks."""
    kinds: dict[str, list[Path]] = {}
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.suffix != ".lock" and file.stat().st_size:
            kinds.setdefault(f"{file.relative_to(path).parent}/{file.suffix}", []).append(file.relative_to(path))
    return kinds


def alter(file: Path, random: np.random.Generator) -> str:
    """Alter a file as failing disks, cut copies and careless people do; say how."""
    content = bytearray(file.read_bytes())
    place = int(random.integers(len(content)))
    page = place // 4096 * 4096
    how = str(random.choice(["bit", "byte", "zeros", "noise", "cut", "moved", "text"]))
    if how == "bit":
        content[place] ^= 1 << int(random.integers(8))
    elif how == "byte":
        content[place] = int(random.integers(256))
    elif how == "zeros":
        content[page : page + 4096] = bytes(len(content[page : page + 4096]))
    elif how == "noise":
        content[place : place + 64] = random.bytes(len(content[place : place + 64]))
    elif how == "cut":
        del content[place:]
    elif how == "moved":
        other = int(random.integers(len(content))) // 4096 * 4096
        size = min(4096, len(content) - max(page, other))
        content[page : page + size] = content[other : other + size]
    else:  # another letter in the place of one, wherever there is text
        letters = np.flatnonzero(np.frombuffer(bytes(content), np.uint8) - 97 < 26)
        place = int(random.choice(letters)) if len(letters) else place
        content[place] = 97 + (content[place] - 96) % 26
    file.write_bytes(content)
    return f"{how} at {place} of {len(content)}"


def survey(path: Path, work: Path, count: int, seed: int) -> list[str]:
    """Alter a copy of an index many times; return where a wrong answer came without a word, or something crashed."""
    random = np.random.default_rng(seed)
    right = [told(result) for result in answers(path)]
    assert all(right)
    assert not any(result.warnings for result in answers(path))
    kinds = list(files(path).values())
    wrong = []
    for number in range(count):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(path, work)
        kind = kinds[number % len(kinds)]
        file = kind[int(random.integers(len(kind)))]
        how = f"{file}: {alter(work / file, random)}"
        try:
            for result, expected in zip(answers(work), right, strict=True):
                if told(result) != expected and not result.warnings:
                    wrong.append(f"{how}: {told(result)} instead of {expected}")
        except DocsimError:
            pass  # one clear sentence
        except Exception as error:
            wrong.append(f"{how}: {type(error).__name__} {error}")
    return wrong


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
    (warning,) = after.warnings
    assert warning.startswith("hit 1 is left out, because document ")
    assert said in warning


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


def test_no_damage_gives_a_wrong_answer_without_a_word(approximate: Path, mapped: Path, tmp_path: Path) -> None:
    assert survey(approximate, tmp_path / "a", 34, seed=0) + survey(mapped, tmp_path / "b", 26, seed=1) == []


@pytest.mark.thorough
def test_hundreds_of_damages_give_no_wrong_answer_without_a_word(
    approximate: Path, mapped: Path, tmp_path: Path
) -> None:
    assert survey(approximate, tmp_path / "a", 90, seed=2) + survey(mapped, tmp_path / "b", 70, seed=3) == []
