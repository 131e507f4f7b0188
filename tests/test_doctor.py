"""The doctor finds what keeps an index from working well, and says so in one line each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from served import made, token

from docsim import Document, Index
from docsim.cli import main
from docsim.engine.records import SourceName
from docsim.maintenance import doctor
from docsim.models import Failure


def examined(index: Path, code: int) -> dict[str, dict[str, Any]]:
    result = CliRunner().invoke(main, ["doctor", "--index", str(index), "--json"])
    assert result.exit_code == code, (result.output, result.exception)
    return {one["name"]: one for one in json.loads(result.stdout)}


def test_a_sound_index_passes_every_check(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    index = made(tmp_path / "index", tiny_encoder_dir)
    found = examined(index, 0)
    assert {one["state"] for one in found.values()} == {"ok"}
    assert {"packages", "extras", "index", "encoder", "search", "source", "writing", "disk"} <= set(found)
    lines = CliRunner().invoke(main, ["doctor", "--index", str(index)]).stdout.splitlines()
    assert len(lines) == len(found)
    assert CliRunner().invoke(main, ["doctor", "--index", str(index), "--quiet"]).stdout == ""


def test_what_may_go_wrong_is_a_warning_and_what_does_is_a_failure(
    tmp_path: Path, tiny_encoder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = made(tmp_path / "index", tiny_encoder_dir)
    token(index, "anna")
    gone = SourceName("folder", str(tmp_path / "gone"), "gone")
    with Index.open(index) as opened:
        opened.sync([Document("a.md", "A page."), Failure("b.md", "it is torn")], source=gone)
    (index / "serving.db").chmod(0o644)
    monkeypatch.setattr(doctor, "_LEAST_FREE", 1e18)
    found = examined(index, 1)
    assert found["source"]["state"] == "warning"
    assert "is gone; docsim forget" in found["source"]["told"]
    assert found["failures"]["told"] == "1 documents could not be read; docsim status lists them"
    assert (found["permissions"]["state"], found["disk"]["state"]) == ("failed", "failed")
    assert "chmod 600" in found["permissions"]["told"]


def test_an_index_that_cannot_be_opened_or_has_lost_its_encoder_is_told(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    index = made(tmp_path / "index", tiny_encoder_dir)
    next((index / "generations").rglob("*.onnx")).write_bytes(b"torn")
    found = examined(index, 1)
    assert (found["encoder"]["state"], found["search"]["state"]) == ("failed", "failed")
    assert "\n" not in found["encoder"]["told"]
    assert examined(tmp_path / "nothing", 1)["index"]["told"].startswith("expected an index at")
