"""``docsim duplicates`` as it is used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from docsim.cli import main
from docsim.encoding.encoder import Encoder
from docsim.index import Index
from docsim.models import Document

BASE = "Rotate the signing keys of every server once a year, then report it to the team and restart all of them."
DOCUMENTS = [
    Document("base", BASE),
    Document("copy", BASE.upper(), title="Copy"),
    Document("soup", "Boil the lentils until the soup is soft."),
]


@pytest.fixture(autouse=True)
def index(tmp_path: Path, tiny_encoder_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCSIM_INDEX", str(tmp_path / "index"))
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync(DOCUMENTS)
    return tmp_path / "index"


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["duplicates", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_a_pipe_gets_a_line_a_duplicate() -> None:
    assert run() == "exact\t1.00\t1.000\tbase\tcopy\n"


def test_json_tells_groups_with_their_evidence_and_the_threshold() -> None:
    found = json.loads(run("--json"))
    keys = ["documents", "passages", "threshold", "contained", "calibrated", "background", "groups"]
    assert list(found) == keys
    assert (found["documents"], found["calibrated"]) == (3, True)
    assert [(group["id"], group["members"][0]["id"]) for group in found["groups"]] == [("base", "copy")]


def test_a_threshold_is_taken_as_given() -> None:
    found = json.loads(run("--threshold", "0.9", "--json"))
    assert (found["threshold"], found["contained"], found["calibrated"]) == (0.9, 0.95, False)


@pytest.mark.parametrize("threshold", ["0", "1.01", "much", "nan"])
def test_another_threshold_is_refused(threshold: str) -> None:
    assert "expected auto, or a number" in run("--threshold", threshold, code=2)


def test_a_report_is_written_beside_the_answer() -> None:
    assert run("--report", "found.html").startswith("exact")
    assert "<h1>Duplicates</h1>" in Path("found.html").read_text(encoding="utf-8")


def test_a_report_that_cannot_be_written_is_one_sentence() -> None:
    assert "expected a file that can be written at missing/found.html" in run("--report", "missing/found.html", code=2)


def test_nothing_is_deleted() -> None:
    run()
    with Index.open("index") as index:
        assert sorted(hit.id for hit in index.search("keys").hits) == ["base", "copy", "soup"]
