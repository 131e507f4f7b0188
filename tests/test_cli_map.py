"""``docsim map`` as it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from docsim.cli import main
from docsim.encoding.encoder import Encoder
from docsim.index import Index
from docsim.models import Document


@pytest.fixture(autouse=True)
def index(tmp_path: Path, tiny_encoder_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCSIM_INDEX", str(tmp_path / "handbook"))
    with Index.create(tmp_path / "handbook", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document("soup", "Boil the lentils."), Document("keys", "Rotate the keys.", title="Keys")])
    return tmp_path / "handbook"


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["map", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_a_picture_and_a_page_are_written_and_topics_told() -> None:
    documents, terms = run().rstrip("\n").split("\t")
    assert (documents, len(terms.split(", "))) == ("2", 3)
    assert Path("map/map.png").read_bytes().startswith(b"\x89PNG")
    assert "<h1>handbook</h1>" in Path("map/map.html").read_text(encoding="utf-8")


def test_json_tells_files_topics_and_points() -> None:
    found = json.loads(run("--out", "pictures/today", "--json"))
    assert found["files"] == ["pictures/today/map.png", "pictures/today/map.html"]
    assert [(point["id"], point["title"], point["topic"]) for point in found["points"]] == [
        ("soup", "", 0),
        ("keys", "Keys", 0),
    ]
    assert found["topics"][0]["documents"] == 2


def test_a_folder_that_cannot_be_written_to_is_one_sentence() -> None:
    Path("taken").write_text("a file")
    assert "expected a folder that can be written to at taken/map" in run("--out", "taken/map", code=2)


@pytest.mark.thorough
def test_a_map_loads_no_training_framework() -> None:
    code = (
        "import sys; from docsim.cli import main; main(['map', '-q'], standalone_mode=False);"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
