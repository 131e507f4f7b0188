"""Every command with ``--index postgresql://...``, over a real server."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from postgres_server import server
from served import serving, token
from turned_encoder import turned

from docsim.cli import main
from docsim.engine import opening
from docsim.index import Index

PAGES = {
    "kitchen/soup.md": "# Lentil soup\n\nBoil the lentils until the soup is soft.",
    "kitchen/stew.md": "# Lentil stew\n\nBoil the lentils in water until the stew is soft.",
    "keys.md": "# Signing keys\n\nRotate SIGNING_KEYS every year after error E1234.",
    "travel.md": "# Tickets\n\nBook a train ticket for the team.",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has seen nothing of the index yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DOCSIM_INDEX", raising=False)


@pytest.fixture
def address(tiny_encoder_dir: Path) -> str:
    """The address of an index of a folder with four pages."""
    for name, text in PAGES.items():
        path = Path("notes", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    address = server().address()
    run("index", "notes", "--encoder", str(tiny_encoder_dir), "--index", address)
    return address


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return result.output


def answer(*arguments: str) -> Any:
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_folder_is_indexed_queried_changed_and_pruned(address: str) -> None:
    assert [hit["id"] for hit in answer("query", "lentil soup", "-k", "2", "--index", address)["hits"]] == [
        "kitchen/soup.md",
        "kitchen/stew.md",
    ]
    assert answer("query", "E1234", "--mode", "lexical", "--index", address)["hits"][0]["id"] == "keys.md"
    found = answer("query", "boil", "--in", "kitchen", "-k", "9", "--index", address)["hits"]
    assert {hit["id"] for hit in found} == {"kitchen/soup.md", "kitchen/stew.md"}
    assert answer("similar", "kitchen/soup.md", "-k", "1", "--index", address)["hits"][0]["id"] == "kitchen/stew.md"
    Path("notes/travel.md").unlink()
    Path("notes/keys.md").write_text("# Keys\n\nNobody rotates anything.", encoding="utf-8")
    told = answer("index", "notes", "--index", address)
    assert (told["index"], told["changed"], told["removed"], told["unchanged"]) == (address, 1, 1, 2)
    assert answer("index", "notes", "--dry-run", "--index", address)["unchanged"] == 3
    assert answer("status", "--index", address)["documents"] == 3
    assert "The index is sound." in run("verify", "--index", address)


def test_what_is_told_of_an_index_names_its_address_and_no_folder_of_this_machine(address: str) -> None:
    found = answer("status", "--index", address)
    assert (found["index"], found["documents"], found["search"]["factory"]) == (address, 4, None)
    assert min(found["sizes"].values()) > 0
    assert address in run("status", "--index", address)
    assert f"4 documents, generation 1 at {address}" in run("doctor", "--index", address)
    assert len(answer("sources", "--index", address)) == 1
    assert run("ls", "kitchen", "--index", address).count("\n") == 2
    assert "Lentil soup" in run("show", "kitchen/soup.md", "--index", address)
    assert address in run("mcp", "--print-config", "--index", address)
    assert answer("explain", "kitchen/soup.md", "kitchen/stew.md", "--index", address)["similarity"] > 0.5
    run("duplicates", "--index", address)
    run("map", "--out", "drawn", "--index", address)


def test_generations_are_built_published_rolled_back_and_pruned(address: str, tmp_path: Path) -> None:
    with Index.open(address) as index:
        other = turned(index.engine.encoder_directory(1), tmp_path / "turned")
    done = answer("reindex", "--encoder", str(other), "--force", "--index", address)
    assert (done["index"], done["generation"], done["published"]) == (address, 2, True)
    assert done["report"]
    assert answer("query", "lentil soup", "--index", address)["hits"][0]["id"] == "kitchen/soup.md"
    assert [one["state"] for one in answer("generations", "--index", address)] == ["retired", "live"]
    assert answer("rollback", "--index", address)["generation"] == 1
    assert answer("prune", "--keep", "1", "--index", address)["generations"] == [2]
    assert "The index is sound." in run("verify", "--index", address)


def test_another_machine_needs_nothing_but_the_address(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert answer("query", "lentil soup", "--index", address)["hits"][0]["id"] == "kitchen/soup.md"
    assert answer("status", "--index", address)["documents"] == 4


def test_damage_is_found_repaired_and_what_cannot_be_is_named(address: str) -> None:
    engine = opening.open_engine(address)
    with engine.writer(wait=False) as writer:
        store = writer.store  # type: ignore[attr-defined]
        sql = "UPDATE embeddings_1 SET embedding = (SELECT embedding FROM embeddings_1 ORDER BY 1 LIMIT 1)"
        store.execute(f"{sql} WHERE document = 2")
        store.execute("UPDATE texts SET text = text || ' altered' WHERE document = 3")
        store.execute("DELETE FROM words")
        store.execute("UPDATE state SET documents = 7")
    engine.close()
    found = run("verify", "--index", address, code=1)
    assert "are missing or damaged" in found
    assert "is not what was stored" in found
    assert "says that it has 7 documents" in found
    assert "kitchen/stew.md" in run("repair", "--index", address, code=1)
    left = run("verify", "--index", address, code=1)
    assert "are missing or damaged" not in left
    assert "is not what was stored" in left
    run("index", "notes", "--index", address)
    assert "The index is sound." in run("verify", "--index", address)


def test_the_environment_and_the_settings_of_a_folder_name_an_address(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCSIM_INDEX", address)
    assert answer("status")["index"] == address
    monkeypatch.delenv("DOCSIM_INDEX")
    Path("docsim.toml").write_text(f'[all]\nindex = "{address}"\n', encoding="utf-8")
    run("trust", "docsim.toml")
    assert answer("status")["index"] == address


def test_a_password_in_an_address_is_refused_and_never_shown(address: str) -> None:
    given = address.replace("postgres@", "postgres:hunter2@")
    assert given != address
    for one in (given, f"{address}&password=hunter2"):
        told = run("status", "--index", one, code=2)
        assert "without a password" in told
        assert "hunter2" not in told


def test_a_password_comes_from_the_environment_and_is_in_no_message(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    told = run("status", "--index", address)
    wrong = run("status", "--index", address.replace("schema=", "port=1&schema="), code=1)
    kept = [file.read_bytes() for file in (tmp_path / "state").rglob("*") if file.is_file()]
    assert "hunter2" not in told + wrong
    assert not any(b"hunter2" in one for one in kept)


def test_what_an_address_cannot_be_is_said_in_a_sentence(address: str) -> None:
    assert "found none" in run("query", "x", "--index", f"{address}_none", code=1)
    assert "expected a schema" in run("query", "x", "--index", address.replace("schema=", "schema=pg_"), code=2)
    assert "docsim copy" in run("backup", "there", "--index", address, code=2)
    nowhere = f"postgresql://postgres@/postgres?host={Path('nowhere').absolute()}&schema=x"
    told = run("query", "x", "--index", nowhere, code=1)
    assert told.startswith("Error: could not reach the index at postgresql://postgres@/postgres")
    assert told.count("\n") == 1


def test_several_indexes_live_in_one_database_beside_each_other(address: str, tiny_encoder_dir: Path) -> None:
    second = server().address()
    Path("other.jsonl").write_text(json.dumps({"id": "only", "text": "zebra crossing"}), encoding="utf-8")
    run("index", "other.jsonl", "--encoder", str(tiny_encoder_dir), "--index", second)
    assert [hit["id"] for hit in answer("query", "zebra", "-k", "9", "--index", second)["hits"]] == ["only"]
    assert answer("status", "--index", address)["documents"] == 4


@pytest.fixture
def place(address: str) -> Path:
    """The folder of this machine for the index."""
    return opening.folder(address)


def test_what_belongs_to_this_machine_lies_in_a_folder_that_only_its_user_reads(address: str, place: Path) -> None:
    assert place.is_relative_to(Path(os.environ["XDG_STATE_HOME"]))
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    run("feedback", "how to cook lentils", "--good", "kitchen/soup.md", "--index", address)
    run("token", "add", "me", "--index", address)
    assert {"use.db", "serving.db", "index.url"} <= {one.name for one in place.iterdir()}
    assert "1 questions" in run("use", "status", "--index", address)
    assert answer("status", "--index", str(place))["index"] == address  # the folder stands for the index


def test_a_server_searches_watches_and_writes(address: str, place: Path) -> None:
    secret = token(place, "writer", scope="write")
    with serving(place, "--watch", str(Path("notes").absolute())) as served, served.client(secret) as client:
        assert address in served.log[0] or any(address in line for line in served.log)
        found = client.get("/v1/search", params={"text": "lentil soup"}).json()
        assert found["hits"][0]["id"] == "kitchen/soup.md"
        put = client.put("/v1/documents/new.md", json={"text": "zebra crossing"})
        assert put.status_code in (200, 201, 202), put.text
        for _ in range(100):
            hits = client.get("/v1/search", params={"text": "zebra crossing", "k": 1}).json()["hits"]
            if hits and hits[0]["id"].endswith("new.md"):
                break
        assert hits[0]["id"].endswith("new.md")
        assert served.end() == 0


def test_watching_follows_a_folder(address: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", "from docsim.cli import run; run()", "watch", "notes", "--index", address],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    try:
        Path("notes/zebra.md").write_text("# Zebra\n\nA zebra crossing.", encoding="utf-8")
        with Index.open(address) as index:
            for _ in range(200):
                if index.has("zebra.md"):
                    break
                Path("notes/zebra.md").touch()
                process_ended = process.poll()
                assert process_ended is None, process.stdout.read() if process.stdout else ""
                time.sleep(0.1)
            assert index.has("zebra.md")
    finally:
        process.terminate()
        process.communicate(timeout=20)
