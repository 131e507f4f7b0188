"""A report of a re-index that was damaged is told, not shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from docsim.errors import StoreError
from docsim.reindex import gate_report

TOLD = {"format": 2, "passed": True, "old": {"number": 1}, "checks": []}


def written(folder: Path, told: dict[str, object]) -> Path:
    (folder / "report.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert gate_report.read(written(tmp_path, TOLD | {"checksum": gate_report._checksum(TOLD)})) == TOLD


def test_there_may_be_no_report(tmp_path: Path) -> None:
    assert gate_report.read(tmp_path) is None


def test_a_report_of_before_has_no_checksum(tmp_path: Path) -> None:
    assert gate_report.read(written(tmp_path, TOLD | {"format": 1})) == TOLD | {"format": 1}


@pytest.mark.parametrize("change", [{"passed": False}, {"checksum": "0"}, {"pasesd": True}])
def test_a_damaged_report_is_told(change: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="damaged"):
        gate_report.read(written(tmp_path, TOLD | {"checksum": gate_report._checksum(TOLD)} | change))


@pytest.mark.parametrize("content", ["", "[]", "1", "{", '{"format": 2}', "[" * 100_000])
def test_what_is_no_report_is_told(content: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(content, encoding="utf-8")
    with pytest.raises(StoreError, match="damaged"):
        gate_report.read(tmp_path)
