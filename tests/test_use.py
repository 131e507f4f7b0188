"""The record of use: what is kept, who may read it, what is deleted, and what goes in and out as files."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from served import PAGES, made

from docsim import Index
from docsim.cli import main
from docsim.errors import StoreError, UsageError
from docsim.jobs import use as jobs
from docsim.use.log import FILE, UseLog
from docsim.use.people import KEY_FILE, People
from docsim.use.recording import Recorder
from docsim.use.records import Event, Question, Session, Shown

ANNA = "anna.ambrosia@example.org"
SECRET = "who pays for the zeppelin"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    return made(tmp_path_factory.mktemp("use") / "index", tiny_encoder_dir)


@pytest.fixture
def fresh(index: Path) -> Iterator[Path]:
    """The index, without any use."""
    yield index
    for file in index.glob("use.*"):
        file.unlink()


def sessions(index: Path) -> list[Session]:
    with UseLog.opened(index) as log:
        return log.sessions()


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(main, [str(one) for one in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def traces(index: Path, *texts: str) -> set[str]:
    """The names of the files in which one of the texts can be found."""
    files = [one for one in index.rglob("*") if one.is_file()]
    return {one.name for one in files for text in texts if text.encode() in one.read_bytes()}


def recorded(index: Path) -> list[Question | Event]:
    """Have a recorder write what Anna and somebody else did; return the records."""
    recorder = Recorder(index)
    anna, other = recorder.people.hashed(ANNA), recorder.people.hashed("other")
    asked = [
        Question(SECRET, "page", anna, (Shown(1, "soup.md", 0.5), Shown(2, "keys.md", 0.25)), 1, 7),
        Question("lentils", "page", other, (Shown(1, "stew.md", 0.5),), 1, 7, 1, swapped=True),
    ]
    happened = [
        Event(asked[0].id, "opened", "soup.md", person=anna),
        Event(asked[0].id, "dwell", "soup.md", 12.5, anna),
        Event(asked[1].id, "found", "stew.md", person=anna),
        Event(asked[1].id, "nothing", person=other),
    ]
    records: list[Question | Event] = [*asked, *happened]
    for one in records:
        recorder.record(one)
    recorder.flush()
    assert recorder.dropped == 0
    recorder.close()
    return records


def test_what_is_recorded_comes_back_and_only_the_owner_can_read_it(fresh: Path) -> None:
    records = recorded(fresh)
    found = sessions(fresh)
    assert [one.question for one in found] == records[:2]
    assert [event for one in found for event in one.events] == records[2:]
    with UseLog.opened(fresh) as log:  # while it is open, its side files are there
        assert log.counts().people == 2
        files = sorted(fresh.glob("use.*"))
        assert {one.name for one in files} >= {FILE, KEY_FILE}
        assert {stat.S_IMODE(one.stat().st_mode) for one in files} == {0o600}
    assert traces(fresh, ANNA) == set()


def test_a_person_is_told_apart_by_a_hash_that_another_index_does_not_share(fresh: Path, tmp_path: Path) -> None:
    people = People(fresh)
    assert people.hashed(ANNA) == People(fresh).hashed(ANNA) != people.hashed("other")
    assert People(tmp_path).hashed(ANNA) != people.hashed(ANNA)
    (tmp_path / KEY_FILE).write_text("abc")
    with pytest.raises(StoreError, match="expected a key of 32 bytes"):
        People(tmp_path)


def test_a_purge_leaves_no_trace_of_a_person_in_any_file(fresh: Path) -> None:
    recorded(fresh)
    hashed = People(fresh).hashed(ANNA)
    assert traces(fresh, SECRET, hashed) == {FILE}
    assert "1 questions deleted" in run("use", "purge", "--user", ANNA, "--index", fresh)
    assert traces(fresh, SECRET, hashed) == set()
    assert [(one.question.text, [event.kind for event in one.events]) for one in sessions(fresh)] == [
        ("lentils", ["nothing"])
    ]
    run("use", "purge", "--index", fresh)
    assert traces(fresh, "lentils of") == set()
    assert sessions(fresh) == []


def test_what_is_older_than_it_is_kept_is_deleted(fresh: Path) -> None:
    old, new = (Question(text, "page", asked=time.time() - days * 86400) for text, days in (("old", 31), ("new", 29)))
    recorder = Recorder(fresh, keep_days=30)
    recorder.record(old)
    recorder.record(new)
    recorder.close()
    assert [one.question.text for one in sessions(fresh)] == ["new"]


def test_a_log_that_cannot_be_written_costs_records_and_never_an_answer(fresh: Path, caplog: object) -> None:
    recorder = Recorder(fresh)
    (fresh / FILE).write_bytes(b"this is no database" * 100)
    recorder.record(Question("soup", "page"))
    recorder.flush()
    assert recorder.dropped == 1
    (fresh / FILE).unlink()
    recorder.record(Question("stew", "page"))
    recorder.close()
    assert [one.question.text for one in sessions(fresh)] == ["stew"]
    assert "records of use were lost" in str(getattr(caplog, "text", ""))


def test_an_export_can_be_imported_again_and_twice_is_once(fresh: Path, tmp_path: Path) -> None:
    recorded(fresh)
    before = sessions(fresh)
    run("use", "export", "--out", tmp_path / "use.jsonl", "--index", fresh)
    lines = [json.loads(line) for line in (tmp_path / "use.jsonl").read_text().splitlines()]
    assert {"query_id", "user_query", "client_id", "timestamp", "query_response_hit_ids"} <= set(lines[0])
    assert lines[1]["event_attributes"] == {"object": {"object_id": "soup.md"}, "position": {"ordinal": 1}}
    with UseLog.opened(fresh) as log:
        log.purge()
    for added in ("2 questions and 4 events", "0 questions and 0 events"):
        assert added in run("use", "import", tmp_path / "use.jsonl", "--index", fresh)
        assert [one.question.shown for one in sessions(fresh)] == [one.question.shown for one in before]
        assert [len(one.events) for one in sessions(fresh)] == [len(one.events) for one in before]
        assert {one.question.person for one in sessions(fresh)} == {one.question.person for one in before}


CLICKS = (
    (
        "user,query,url,timestamp,position",
        "anna,book a train,https://wiki.example/docs/travel/ticket.html,1767225600,3",
    ),
    ("user,query,url,timestamp,position", "anna,book a train,travel/ticket.md,2026-01-01T00:00:00Z,3"),
    ("question,document,when", "book a train,/travel/Ticket,1767225600000"),
)


@pytest.mark.parametrize(("head", "row"), CLICKS)
def test_a_log_of_another_tool_names_documents_in_its_own_way(fresh: Path, tmp_path: Path, head: str, row: str) -> None:
    (tmp_path / "clicks.csv").write_text(f"{head}\n{row}\n{row.replace('icket', 'axi')}\n")
    with Index.open(fresh) as opened:
        found = jobs.import_log(opened, tmp_path / "clicks.csv")
    ((question, events),) = ((one.question, one.events) for one in sessions(fresh))
    assert (question.text, question.route, question.asked) == ("book a train", "import", 1767225600)
    assert [(one.kind, one.document) for one in events] == [("opened", "travel/ticket.md")]
    assert [one.rank for one in question.shown] == ([3] if "position" in head else [])
    assert (found.questions, found.events, sum(found.unknown.values())) == (1, 1, 1)
    assert traces(fresh, "anna") == set()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "question,when\nsoup,2026-01-01\n", r"found no document .*a\.csv:2"),
        ("a.jsonl", '{"question": "soup", "document": "soup.md", "when": "today"}', r"expected a time .*a\.jsonl:1"),
        ("a.jsonl", '{"action_name": "dwell", "query_id": "x"}', r"expected .* at .*a\.jsonl:1"),
        ("a.jsonl", '{"query_id": "x", "user_query": "y", "query_response_hit_ids": 3}', r"at .*a\.jsonl:1"),
        ("a.jsonl", "[]", r"expected a JSON object .*a\.jsonl:1"),
        ("a.csv", "question,document,when,rank\nsoup,soup.md,2026-01-01,first\n", "expected a rank from 1"),
        ("a.txt", "soup", r"expected a \.csv"),
    ],
)
def test_a_log_that_cannot_be_read_is_refused_with_its_line(
    fresh: Path, tmp_path: Path, name: str, content: str, told: str
) -> None:
    (tmp_path / name).write_text(content)
    with Index.open(fresh) as opened, pytest.raises(UsageError, match=told):
        jobs.import_log(opened, tmp_path / name)
    assert not UseLog.exists(fresh) or sessions(fresh) == []


def test_feedback_from_the_shell_is_recorded_and_unknown_documents_are_refused(fresh: Path) -> None:
    run("feedback", "lentils", "--good", "soup.md", "--bad", "keys.md", "--user", ANNA, "--index", fresh)
    ((question, events),) = ((one.question, one.events) for one in sessions(fresh))
    assert (question.text, question.person) == ("lentils", People(fresh).hashed(ANNA))
    assert {(one.kind, one.document) for one in events} == {("good", "soup.md"), ("bad", "keys.md")}
    done = CliRunner().invoke(main, ["feedback", "lentils", "--good", "nowhere.md", "--index", str(fresh)])
    assert (done.exit_code, "found no document 'nowhere.md'" in done.output) == (2, True)
    assert len(sessions(fresh)) == 1
    assert len(PAGES) == 4


def test_without_a_record_the_commands_say_so(fresh: Path) -> None:
    done = CliRunner().invoke(main, ["use", "status", "--index", str(fresh)])
    assert (done.exit_code, "found none. Try: docsim serve --record" in done.output) == (2, True)
    assert "0 judgements of 0 questions" in run("judge", "--index", fresh)
