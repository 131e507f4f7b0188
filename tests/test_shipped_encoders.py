"""The encoders that docsim ships, their names, and which one a new index gets."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from served import serving

from docsim.cli import main
from docsim.encoding import shipped
from docsim.encoding.encoder import Encoder
from docsim.index import Index
from docsim.ingest.sources import open_source
from docsim.jobs import first_encoder
from docsim.jobs.sync import sync


@pytest.fixture(scope="module")
def accurate() -> Encoder:
    return Encoder.load("accurate")


def test_every_name_is_an_encoder() -> None:
    assert [Encoder.load(name).dim for name in shipped.NAMES] == [256, 384]
    assert Encoder.load("fast").fingerprint == Encoder.load("default").fingerprint == Encoder.default().fingerprint


def test_a_directory_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fast").mkdir()
    assert shipped.located("fast") == shipped.directory("fast")  # it holds no encoder
    (tmp_path / "fast" / "manifest.json").write_text("{}", encoding="utf-8")
    assert shipped.located("fast") == Path("fast")
    assert shipped.located("accurate") == shipped.directory("accurate")
    assert Encoder.default().dim == 256


def test_the_accurate_encoder_reads_words_in_their_order(accurate: Encoder) -> None:
    rejects, rejected = "the server rejects the client", "the client rejects the server"
    fast = Encoder.default().encode([rejects, rejected])
    assert float(fast[0] @ fast[1]) == pytest.approx(1, abs=1e-6)
    found = accurate.encode([rejects, rejected])
    assert float(found[0] @ found[1]) < 0.99


def test_the_accurate_encoder_tells_a_train_from_training(accurate: Encoder) -> None:
    question, travel, learning = accurate.encode(
        ["how do I claim a train ticket", "booking trains, flights and hotels", "courses, books and training budget"]
    )
    assert question @ travel > question @ learning + 0.1


def test_a_text_gets_the_same_embedding_alone_and_among_others(accurate: Encoder) -> None:
    texts = ["", "soup", "How do we rotate the signing keys?", "word " * 700, "x1 \u4e2d\u6587 caf\u00e9"]
    alone = np.concatenate([accurate.encode([text]) for text in texts])
    assert accurate.encode(texts) == pytest.approx(alone, abs=1e-6)
    assert np.linalg.norm(alone, axis=1) == pytest.approx(1, abs=1e-5)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments], catch_exceptions=False)


def folder(path: Path, size: int) -> Path:
    path.mkdir()
    (path / "a.md").write_text("# Soup\n\n" + "Boil the lentils. " * (size // 18), encoding="utf-8")
    return path


def test_small_sources_get_the_accurate_encoder(tmp_path: Path) -> None:
    small = open_source(str(folder(tmp_path / "small", 1000)))
    assert first_encoder.choose([small]).name == "accurate"
    large = open_source(str(folder(tmp_path / "large", first_encoder.LARGEST + 1000)))
    assert first_encoder.choose([small, large]) == first_encoder.Choice("fast", "because there are 4 MB to read")
    assert first_encoder.choose([small, open_source("-")]).name == "fast"


def test_what_is_left_out_of_a_folder_does_not_count(tmp_path: Path) -> None:
    path = folder(tmp_path / "docs", 1000)
    (path / "film.mp4").write_bytes(bytes(first_encoder.LARGEST + 1))
    assert first_encoder.choose([open_source(str(path))]).name == "accurate"


def test_a_new_index_says_which_encoder_it_uses_and_how_to_change_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCSIM_ENCODER")
    docs, index = folder(tmp_path / "docs", 1000), tmp_path / "index"
    result = run("index", docs, "--index", index)
    assert "Using the accurate encoder, because there are at most 4 MB to read" in result.stderr
    assert "name another with --encoder" in result.stderr
    with Index.open(index) as opened:
        assert opened.encoder.fingerprint == Encoder.load("accurate").fingerprint
    again = run("index", docs, "--index", index)
    assert again.exit_code == 0
    assert "encoder" not in again.stderr


@pytest.mark.parametrize("way", ["option", "variable"])
def test_the_encoder_of_a_new_index_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setenv("DOCSIM_ENCODER", "fast" if way == "variable" else "accurate")
    named = ("--encoder", "fast") if way == "option" else ()
    result = run("index", folder(tmp_path / "docs", 500), "--index", tmp_path / "index", *named)
    assert result.exit_code == 0
    assert "Using" not in result.stderr
    with Index.open(tmp_path / "index") as opened:
        assert opened.encoder.fingerprint == Encoder.default().fingerprint


def test_an_archive_counts_as_large_as_what_it_holds(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pages.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.md", "# Soup\n\n" + "Boil the lentils. " * (first_encoder.LARGEST // 17))
    assert (tmp_path / "pages.zip").stat().st_size < first_encoder.LARGEST / 10
    assert first_encoder.choose([open_source(str(tmp_path / "pages.zip"))]).name == "fast"


def test_fewer_components_take_the_encoder_that_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCSIM_ENCODER")
    result = run("index", folder(tmp_path / "docs", 500), "--index", tmp_path / "index", "--dim", 64)
    assert "Using the fast encoder, because it was trained for fewer components" in result.stderr
    with Index.open(tmp_path / "index") as opened:
        assert opened.encoder.dim == 64


# One choice for every way to make an index, and for one without documents


@pytest.fixture
def unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No encoder is named by the environment."""
    monkeypatch.delenv("DOCSIM_ENCODER")


def encoder_of(index: Path) -> str:
    """Return the name of the shipped encoder that an index has."""
    with Index.open(index) as opened:
        fingerprint = opened.generation().fingerprint
    return next(name for name in shipped.NAMES if Encoder.load(name).fingerprint == fingerprint)


@pytest.mark.usefixtures("unnamed")
def test_a_new_index_gets_the_encoder_that_suits_all_its_sources(tmp_path: Path) -> None:
    small = open_source(str(folder(tmp_path / "small", 1000)))
    large = open_source(str(folder(tmp_path / "large", first_encoder.LARGEST + 1000)))
    sync(tmp_path / "one", [small])
    assert encoder_of(tmp_path / "one") == "accurate"
    sync(tmp_path / "first", [small], among=[small, large])  # the other one comes later
    assert encoder_of(tmp_path / "first") == "fast"


@pytest.mark.slow
@pytest.mark.usefixtures("unnamed")
def test_watch_chooses_as_index_does(tmp_path: Path) -> None:
    docs, index = folder(tmp_path / "docs", 1000), tmp_path / "index"
    command = [sys.executable, "-c", "from docsim.cli import run; run()", "watch", str(docs), "--index", str(index)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        assert "1 added" in run.stdout.readline()
        run.terminate()
        assert "Using the accurate encoder, because there are at most 4 MB to read" in run.stderr.read()
    assert encoder_of(index) == "accurate"


@pytest.fixture
def empty(tmp_path: Path, unnamed: None) -> Path:
    """An index of a folder that is empty."""
    (tmp_path / "docs").mkdir()
    assert run("index", tmp_path / "docs", "--index", tmp_path / "index").exit_code == 3
    assert encoder_of(tmp_path / "index") == "accurate"
    return tmp_path / "index"


def fill(docs: Path) -> None:
    (docs / "large.md").write_text("# Soup\n\n" + "Boil the lentils.\n\n" * (first_encoder.LARGEST // 18), "utf-8")


def test_an_index_without_documents_gets_the_encoder_that_suits_the_first(empty: Path) -> None:
    fill(empty.parent / "docs")
    told = run("index", empty.parent / "docs", "--index", empty)
    assert told.exit_code == 0, told.output
    assert "Using the fast encoder, because there are 4 MB to read" in told.stderr
    assert encoder_of(empty) == "fast"
    with Index.open(empty) as index:
        assert index.counts().documents == 1
        assert len(index.engine.generations()) == 1
        assert index.search("lentils").hits[0].id == "large.md"
    assert run("verify", "--index", empty).exit_code == 0


def test_few_documents_leave_an_empty_index_its_encoder(empty: Path) -> None:
    (empty.parent / "docs" / "a.md").write_text("Soup", encoding="utf-8")
    told = run("index", empty.parent / "docs", "--index", empty)
    assert (told.exit_code, told.stderr) == (0, "")
    assert encoder_of(empty) == "accurate"


def test_a_user_can_name_the_encoder_of_an_index_without_documents(empty: Path) -> None:
    (empty.parent / "docs" / "a.md").write_text("Soup", encoding="utf-8")
    assert run("index", empty.parent / "docs", "--index", empty, "--encoder", "fast").exit_code == 0
    assert encoder_of(empty) == "fast"


def test_an_encoder_that_a_user_named_stays(empty: Path) -> None:
    named = empty.parent / "named"
    run("index", empty.parent / "docs", "--index", named, "--encoder", "accurate")
    run("index", empty.parent / "docs", "--index", empty, "--encoder", "accurate")  # which was chosen before
    fill(empty.parent / "docs")
    for index in (named, empty):
        with Index.open(index) as opened:
            assert not first_encoder.is_free(opened)
        told = run("index", empty.parent / "docs", "--index", index, "--dry-run")
        assert (told.exit_code, told.stderr) == (0, "")
    refused = run("index", empty.parent / "docs", "--index", named, "--encoder", "fast")
    assert refused.exit_code == 1
    assert "answers only with its own encoder" in refused.stderr


def test_an_index_with_documents_keeps_its_encoder(empty: Path) -> None:
    docs = empty.parent / "docs"
    (docs / "a.md").write_text("Soup", encoding="utf-8")
    run("index", docs, "--index", empty)
    refused = run("index", docs, "--index", empty, "--encoder", "fast")
    assert "answers only with its own encoder" in refused.stderr
    assert encoder_of(empty) == "accurate"


def test_a_dry_run_changes_no_encoder(empty: Path) -> None:
    fill(empty.parent / "docs")
    assert run("index", empty.parent / "docs", "--index", empty, "--dry-run").exit_code == 0
    assert encoder_of(empty) == "accurate"


@pytest.mark.slow
@pytest.mark.thorough
def test_a_server_that_watches_chooses_as_index_does(empty: Path) -> None:
    docs = empty.parent / "docs"
    fill(docs)
    with serving(empty, "--watch", str(docs)) as running, running.client() as client:
        deadline = time.monotonic() + 60
        while not (found := client.get("/v1/status").json())["documents"] and time.monotonic() < deadline:
            time.sleep(0.2)
        assert found["documents"] == 1, running.log
    assert encoder_of(empty) == "fast"


def test_in_python_a_new_index_gets_the_fast_encoder(tmp_path: Path) -> None:
    with Index.create(tmp_path / "index") as index:
        assert not first_encoder.is_free(index)
    assert encoder_of(tmp_path / "index") == "fast"


# An encoder that is not there


@pytest.mark.parametrize("command", ["index", "reindex", "show", "variable"])
def test_where_there_is_no_encoder_the_shipped_ones_are_named_and_how_to_get_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    docs = folder(tmp_path / "docs", 100)
    if command == "variable":
        monkeypatch.setenv("DOCSIM_ENCODER", "nosuch")
    elif command == "reindex":
        run("index", docs)
    arguments = {
        "index": ("index", docs, "--encoder", "nosuch"),
        "reindex": ("reindex", "--encoder", "nosuch"),
        "show": ("encoder", "show", "nosuch"),
        "variable": ("index", docs),
    }
    told = run(*arguments[command])
    assert told.exit_code == 1
    assert "expected an encoder directory at nosuch, or the name of a shipped encoder" in told.stderr
    assert ", ".join(shipped.NAMES).replace(", ", " or ") in told.stderr
    assert "docsim train" in told.stderr
    assert "docsim encoder import" in told.stderr
    assert "distill" not in told.stderr


def test_a_model_of_another_library_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "minilm").mkdir()
    (tmp_path / "minilm" / "config.json").write_text("{}", encoding="utf-8")
    told = run("index", folder(tmp_path / "docs", 100), "--index", tmp_path / "index", "--encoder", tmp_path / "minilm")
    assert f"Try: docsim encoder import {tmp_path / 'minilm'} --out encoders/minilm" in told.stderr
