"""Gaps and hygiene: what nothing answers, and which pages somebody should look at."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from served import made

from docsim import Document, Index
from docsim.cli import main
from docsim.jobs import hygiene
from docsim.jobs.gaps import find, probability
from docsim.jobs.hygiene import Outdated, SameQuestion, Versions, different_numbers
from docsim.jobs.use import feedback
from docsim.use.asked import AskedQuestion
from docsim.use.log import UseLog
from docsim.use.records import Event, Question, Shown

LEAVE = (
    "Everybody has {days} days of leave a year. Ask your manager before you book anything, "
    "and enter the days in the {book}."
)
DOCUMENTS = (
    Document("leave-2023.md", LEAVE.format(days=28, book="calendar"), "Leave in 2023", {"updated": "2023-02-01"}),
    Document("leave-2024.md", LEAVE.format(days=30, book="calendar"), "Leave in 2024", {"updated": "2026-02-01"}),
    Document("soup.md", "Boil the lentils until the soup is soft.", "Lentil soup"),
    Document("soup2.md", "Fry onions, add stock and lentils, and wait.", "Lentil soup"),
    Document("keys.md", "Rotate the signing keys every year.", "Signing keys"),
    Document("tickets.md", "Book a train ticket for the team.", "Train tickets"),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    return made(tmp_path_factory.mktemp("gaps") / "index", tiny_encoder_dir, DOCUMENTS)


@pytest.fixture
def index(path: Path) -> Iterator[Index]:
    with Index.open(path) as index:
        yield index
    for file in path.glob("use.*"):
        file.unlink()


def ask(index: Index, text: str, times: int, *, opened: str | None = None) -> None:
    with UseLog.opened(index.path) as log:
        for number in range(times):
            shown = (Shown(1, "soup.md", 1.0), Shown(2, "keys.md", 0.5))
            asked = Question(text, "page", f"p{number}", shown, 1, 1)
            log.write([asked, *([Event(asked.id, "opened", opened)] if opened else [])])


def test_what_is_in_no_document_and_opens_nothing_is_a_gap_and_what_is_answered_is_none(index: Index) -> None:
    ask(index, "zeppelin mooring permits", 4)
    ask(index, "permits for mooring a zeppelin", 1)
    ask(index, "signing keys rotate", 6, opened="keys.md")
    found = find(index)
    first = found.gaps[0]
    assert first.label == "zeppelin mooring permits"
    assert (first.missing, first.times >= 4, len(first.nearest)) == (("zeppelin", "mooring", "permits"), True, 3)
    assert all("signing" not in text for one in found.gaps for text in one.questions)
    assert found.questions == 3


def test_what_people_do_moves_the_probability() -> None:
    def chance(watched: int, opened: int, nothing: int = 0) -> float:
        return probability(0.5, AskedQuestion("", "", watched, 1, watched, opened, nothing))

    assert chance(0, 0) == pytest.approx(0.5)
    assert chance(9, 9) < chance(3, 3) < 0.5 < chance(3, 0) < chance(3, 0, 2)


def test_gaps_are_found_for_questions_of_a_file_without_any_record(index: Index, tmp_path: Path) -> None:
    lines = [{"id": 1, "text": "zeppelin mooring permits"}, {"id": 2, "text": "lentil soup"}]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, lines)))
    done = CliRunner().invoke(main, ["gaps", "--queries", str(tmp_path / "q.jsonl"), "--index", str(index.path)])
    assert done.exit_code == 0, done.output
    assert "zeppelin mooring permits  (asked 1 times" in done.output
    assert "lentil soup  (" not in done.output


def test_pages_that_somebody_should_look_at_are_listed(index: Index) -> None:
    now = time.time()
    asked = Question("leave", "page", "p", (Shown(1, "leave-2023.md", 1.0),), 1, 1)
    with UseLog.opened(index.path) as log:
        log.write([asked, Event(asked.id, "opened", "leave-2023.md", at=now - 86400)])
    feedback(index, "stock", good=["soup.md", "soup2.md"])
    found = hygiene.examine(index)
    assert found.versions == (Versions("leave-2023.md", "leave-2024.md", (("28", "30"),)),) or found.versions == (
        Versions("leave-2024.md", "leave-2023.md", (("30", "28"),)),
    )
    assert found.same == (
        SameQuestion("Lentil soup", ("soup.md", "soup2.md"), "title"),
        SameQuestion("stock", ("soup.md", "soup2.md"), "use"),
    )
    old = datetime.fromtimestamp(now, UTC).year - 2023 >= 2
    assert found.outdated == ((Outdated("leave-2023.md", "2023-02-01", 1),) if old else ())
    assert (found.unfound, found.titles) == ((), 6)


def test_texts_that_differ_in_more_than_numbers_are_no_versions_of_each_other() -> None:
    assert different_numbers("Pay 20 euros by 1 May 2023.", "Pay 25 euros by 1 May 2024.") == [
        ("20", "25"),
        ("2023", "2024"),
    ]
    assert different_numbers("Pay 20 euros.", "Pay 20 euros.") == []
    assert different_numbers("Pay 20 euros.", "Refund 25 euros to everybody who asks.") == []
