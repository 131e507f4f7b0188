"""Files of an index altered at random, as failing disks, cut copies and careless people do, and everything read again.

Run as a script, this file is the survey, in a process that may crash: ``damages.py INDEX WORK COUNT SEED`` prints one
JSON object for each alteration.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
from tiny_encoder import WORDS
from turned_encoder import turned

from docsim import Document, Encoder, Index
from docsim.errors import DocsimError
from docsim.maintenance import verify, vocabulary_advice
from docsim.maintenance.status import read_status
from docsim.models import SearchResult
from docsim.reindex import gate_report, generations
from docsim.reindex.examination import GateOptions
from docsim.reindex.instant import upgrade
from docsim.reindex.reindexing import reindex
from docsim.serving.server_database import ServerDatabase
from docsim.serving.tokens import Tokens
from docsim.use import judgements
from docsim.use.log import UseLog
from docsim.use.people import People
from docsim.use.records import Event, Question, Shown

__all__ = ["PAGES", "QUESTIONS", "alter", "approximate", "complete", "documents", "files", "survey", "told"]

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


def approximate(path: Path, encoder: Encoder) -> None:
    """Make an index that is searched approximately, with documents that came after its files were written."""
    with Index.create(path, encoder=encoder, index_type="IVF16,SQ8", recall=0.8) as index:
        index.sync(PAGES)
        index.remove([PAGES[7].id])
        index.sync([*PAGES[:7], *PAGES[8:], *documents(3, seed=1)])


def complete(path: Path, encoder: Encoder, work: Path) -> None:
    """Make an index whose encoder was made of another one, with a generation that is being built, use and tokens.

    It has the report of a re-index, what its encoder was made of, and a mapping.
    """
    second = Encoder.load(turned(encoder.path, work / "second"))
    with Index.create(path, encoder=encoder) as index:
        index.sync(PAGES[:100])
        assert reindex(index, second, base=encoder, gate=GateOptions(max_loss=1, publish_anyway=True)).published
        generations.prune(index, keep=1)
    approximate(path, second)
    with Index.open(path) as index:
        assert upgrade(index, Encoder.load(turned(encoder.path, work / "third", seed=1)))
    with UseLog.opened(path) as log:
        anna, shown = People(path).hashed("anna"), (Shown(1, PAGES[3].id, 0.5),)
        asked = [Question(text, "api", anna, shown, 2, 1) for text in QUESTIONS]
        log.write([*asked, *(Event(one.id, "good", PAGES[3].id, None, None) for one in asked)])
    database = ServerDatabase(path)
    Tokens(database).add("anna", groups=["hr"])
    database._connection().close()  # or its log would go while the files are counted, whenever garbage is collected


def read(path: Path) -> None:
    """Read all that is read of an index besides answers."""
    with Index.open(path) as index:
        readings = (
            lambda: verify.problems(index),
            lambda: read_status(index),
            lambda: judgements.of_index(path),
            lambda: People(path).hashed("anna"),
            lambda: Tokens(ServerDatabase(path)).list(),
            lambda: vocabulary_advice.read_vocabulary(index),
        )
        for reading in readings:
            with contextlib.suppress(DocsimError):  # one clear sentence
                reading()


def beside(path: Path) -> Iterator[object]:
    """Yield what is told of a generation besides answers: its report, and what an encoder is made of when adapting."""
    with Index.open(path) as index:
        number = index.generation().number
        yield gate_report.read(index.engine.report_directory(number))
        base = Encoder.load(index.engine.base_directory(number))
        yield base.fingerprint, base.encode(QUESTIONS).tobytes()


def told(result: SearchResult) -> Answer:
    """Return what of an answer must never be wrong without a word."""
    return [
        (
            hit.id,
            hit.title,
            round(hit.similarity, 3),
            hit.percentile,
            str(hit.metadata),
            [one.text for one in hit.passages],
        )
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


def survey(path: Path, work: Path, count: int, seed: int, first: int = 0) -> Iterator[dict[str, str]]:
    """Alter a copy of an index many times; yield what was altered, and what was wrong then.

    Wrong is an answer other than before without a word, and any error but docsim's own.

    Args:
        path: The index.
        work: Where the copy is made.
        count: How many alterations.
        seed: Of what is random.
        first: The number of the first alteration, which decides the kind of file.
    """
    right = [told(result) for result in answers(path)]
    assert all(right)
    right_beside = list(beside(path))
    assert not any(result.warnings for result in answers(path))
    kinds = list(files(path).items())
    for number in range(first, first + count):
        random = np.random.default_rng((seed, number))
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(path, work)
        kind, found = kinds[number % len(kinds)]
        file = found[int(random.integers(len(found)))]
        how = f"{file}: {alter(work / file, random)}"
        outcome, wrong = "as before", ""
        try:
            for result, expected in zip(answers(work), right, strict=True):
                if result.warnings:
                    outcome = "told"
                elif told(result) != expected:
                    wrong = f"{told(result)} instead of {expected}"
            read(work)
            for found_beside, expected_beside in zip(beside(work), right_beside, strict=True):
                if found_beside != expected_beside:
                    wrong = f"{found_beside!r} instead of {expected_beside!r}"[:1_000]
        except DocsimError:
            outcome = "refused"
        except Exception as error:
            wrong = f"{type(error).__name__} {error}"
        yield {"kind": kind, "how": how, "outcome": "wrong" if wrong else outcome, "wrong": wrong}


if __name__ == "__main__":
    for _one in survey(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:])):
        sys.stdout.write(json.dumps(_one) + "\n")
        sys.stdout.flush()
