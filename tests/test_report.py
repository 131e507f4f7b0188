"""The report of a training: numbers that add up, pictures that open, a page that needs nothing else."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3  # noqa: F401  # before TensorFlow, see docsim.training
from pathlib import Path

import numpy as np
import pytest

from docsim.training.loop.checkpoint import ProgressPoint
from docsim.training.loop.probe import EmbeddedSample, Similarities
from docsim.training.loop.report import TowerSnapshot, write_report
from docsim.training.loop.trainer import TrainingResult

pytestmark = pytest.mark.training

POINTS = (ProgressPoint(0, None, 0.25, 0.1), ProgressPoint(10, 2.5, 0.5, 1.0), ProgressPoint(20, 1.5, 0.4, 2.0))


def shown(seed: int, groups: tuple[str, ...]) -> TowerSnapshot:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(len(groups), 6)).astype(np.float32)
    return TowerSnapshot(
        Similarities(np.array([0.9, 0.5], np.float32), np.array([0.1, 0.7, -0.2, 0.5], np.float32)),
        EmbeddedSample(rows / np.linalg.norm(rows, axis=1, keepdims=True), groups),
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    groups = tuple(f"folder{n % 12}" for n in range(40))
    facts = {"name": "<ours> & theirs", "seed": 3}
    result = TrainingResult(POINTS, POINTS[1], "patience")
    path = tmp_path_factory.mktemp("written") / "new" / "report"
    write_report(path, result, before=shown(0, groups), after=shown(1, groups), probe="MRR", facts=facts)
    return path


def test_the_numbers_are_those_that_were_measured(written: Path) -> None:
    report = json.loads((written / "report.json").read_text())
    assert report["format"] == 1
    assert report["seed"] == 3
    assert report["ended"] == "patience"
    assert report["probe"] == {"name": "MRR", "before": 0.25, "after": 0.5}
    assert report["points"][0] == {"step": 0, "loss": None, "probe": 0.25, "seconds": 0.1}
    assert report["best"]["step"] == 10


def test_the_area_under_the_curve_counts_ties_half(written: Path) -> None:
    similarities = json.loads((written / "report.json").read_text())["similarities"]["before"]
    # 0.9 is above all four negatives; 0.5 above two, below one, and equal to one.
    assert similarities["auc"] == pytest.approx((4 + 2.5) / 8)
    assert similarities["positives_mean"] == pytest.approx(0.7)
    assert similarities["negatives_mean"] == pytest.approx(0.275)


@pytest.mark.parametrize("name", ["curves.png", "similarities.png", "map.png"])
def test_each_picture_is_a_png_of_some_size(written: Path, name: str) -> None:
    content = (written / name).read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(content[16:20], "big") > 500


def test_the_page_shows_everything_and_refers_to_nothing_outside(written: Path) -> None:
    page = (written / "report.html").read_text()
    assert "&lt;ours&gt; &amp; theirs" in page
    assert "<ours>" not in page
    assert page.count("data:image/png;base64,") == 3
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', page) == []
    assert "<td>10</td><td>2.5000</td><td>0.5000</td>" in page


def test_a_report_is_replaced_by_a_later_one_and_texts_without_folders_are_drawn(written: Path, tmp_path: Path) -> None:
    path, groups = shutil.copytree(written, tmp_path / "report"), ("",) * 5
    result = TrainingResult(POINTS[:1], POINTS[0], "time")
    write_report(path, result, before=shown(0, groups), after=shown(1, groups), probe="MRR", facts={})
    assert json.loads((path / "report.json").read_text())["ended"] == "time"


def test_a_report_without_pairs_that_belong_together_says_so(tmp_path: Path) -> None:
    none = Similarities(np.array([], np.float32), np.array([0.1, 0.7], np.float32))
    seen = TowerSnapshot(none, shown(0, ("a", "b", "b")).sample)
    write_report(
        tmp_path, TrainingResult(POINTS, POINTS[1], "steps"), before=seen, after=seen, probe="Spearman", facts={}
    )
    assert json.loads((tmp_path / "report.json").read_text())["similarities"] == {"before": None, "after": None}
    assert (tmp_path / "similarities.png").read_bytes().startswith(b"\x89PNG")
