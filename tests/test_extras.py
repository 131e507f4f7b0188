"""Each extra in an environment that holds the wheel, that extra and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import toy_training
from office_files import docx, paragraph, pdf
from postgres_server import server
from served import problem, serving
from wheel_environments import build_wheel, installed_files, make_environment, run, site_packages, uv
from word_files import glove

pytestmark = [pytest.mark.extras, pytest.mark.thorough, pytest.mark.timeout(900)]

LIMIT = 300_000_000
"""Bytes that plain docsim may take, as unpacked, without pip."""

NEEDS = {
    "eval": (["eval", "--qrels", "qrels.txt"], ["eval-pairs", "tiny", "pairs.jsonl"]),
    "map": (["map", "--out", "drawn"],),
    "embed": (["embed", "--out", "made"],),
    "serve": (["serve"], ["mcp"]),
    "postgres": (["status", "--index", "postgresql://localhost/none"],),
    "train": (
        ["adapt"],
        ["train", "--corpus", "pages", "--out", "made"],
        ["sweep", "--corpus", "pages", "--out", "made", "--budget", "1"],
        ["distill", "--teacher", "tiny", "--out", "made"],
        ["encoder", "import", "tiny", "--out", "made"],
        ["encoder", "from-vectors", "glove.txt", "--out", "made"],
    ),
}
"""Commands that need each extra."""


class Place:
    """A folder with documents of several formats, and the ``docsim`` of an environment to use there."""

    def __init__(self, folder: Path, binaries: Path, encoder: Path) -> None:
        """Write the documents."""
        self.folder, self.binaries = folder, binaries
        pages = folder / "pages"
        pages.mkdir(parents=True)
        (pages / "soup.md").write_text("# Soup\n\nBoil the lentils until they are soft.")
        (pages / "keys.html").write_text("<body><h1>Keys</h1><p>Rotate the signing keys every year.</p></body>")
        ticket = "Trains\n======\n\nBook a train ticket for your holiday, and take the report with you.\n"
        (pages / "train.rst").write_text(ticket)
        (pages / "copy.txt").write_text(ticket)
        (folder / "records.jsonl").write_text(json.dumps({"id": "r1", "text": "Restore the database from a backup."}))
        (folder / "glove.txt").write_bytes(glove({"soup": [1.0, 0.5], "keys": [0.5, 1.0], "train": [0.25, -1.0]}))
        (folder / "qrels.txt").write_text("soup.md 0 keys.html 1\ntrain.rst 0 copy.txt 2\n")
        pairs = [("soup", "soup", 1.0), ("boil the soup", "signing keys", 0.1), ("train", "train ticket", 0.8)]
        lines = [json.dumps({"text_a": a, "text_b": b, "score": score}) for a, b, score in pairs]
        (folder / "pairs.jsonl").write_text("\n".join(lines))
        shutil.copytree(encoder, folder / "tiny")

    def docsim(self, *arguments: str, code: int = 0) -> Any:
        """Run a command in the folder, with the index there, and return the JSON that it prints."""
        done = self.run(*arguments, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def run(self, *arguments: str) -> Any:
        return run(self.binaries / "docsim", *arguments, cwd=self.folder)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(request: pytest.FixtureRequest, wheel: Path) -> Iterator[Path]:
    """The ``bin`` of an environment of the extra that the test names; tests of the same one share it."""
    extra, _, version = request.param.partition(" ")
    python = interpreter(version) if version else sys.executable
    with TemporaryDirectory() as disk:  # up to 3 GB, which are links where the cache of uv is on the same disk
        yield make_environment(Path(disk) / "environment", wheel, extra, python=python)


@pytest.fixture
def place(environment: Path, tiny_encoder_dir: Path, tmp_path: Path) -> Place:
    """A place to work in with that environment."""
    return Place(tmp_path / "work", environment, tiny_encoder_dir)


def of(*environments: str) -> pytest.MarkDecorator:
    """Return what gives a test its environments: an extra, and after a space another version of Python."""
    return pytest.mark.parametrize("environment", environments, indirect=True)


def interpreter(version: str) -> str:
    """Return a Python of some version that is installed beside this one; without one the test is skipped."""
    by_pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    for candidate in (shutil.which(f"python{version}"), *map(str, by_pyenv)):
        if candidate and subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode == 0:
            return candidate
    pytest.skip(f"Python {version} is not installed")


def check_what_is_missing(place: Place, *extras: str) -> None:
    """Check that each command that needs one of some extras says so, and does nothing."""
    for extra in extras:
        for command in NEEDS[extra]:
            done = place.run(*command)
            named = (
                " ".join(word for word in command[:2] if word in {"encoder", "import", "from-vectors"}) or command[0]
            )
            named = "an index in PostgreSQL" if extra == "postgres" else f"docsim {named}"
            sentence = f'{named} needs the extra "{extra}": pip install "docsim[{extra}]"'
            assert (done.returncode, done.stdout, done.stderr) == (2, "", f"Error: {sentence}\n")
    assert not (place.folder / "made").exists()
    assert not (place.folder / "drawn").exists()


def check_that_nothing_else_is_installed(place: Place, *names: str) -> None:
    packages = site_packages(place.binaries)
    assert not [name for name in names if (packages / name).exists()]


@of("")
def test_plain_docsim_searches_explains_maintains_and_reindexes(place: Place) -> None:
    (place.folder / "pages" / "report.pdf").write_bytes(pdf("The quarterly report"))
    indexed = place.docsim("index", "pages", "records.jsonl", code=3)
    reason = 'reading .pdf files needs the extra "files": pip install "docsim[files]"'
    assert (indexed["added"], indexed["failures"]) == (5, [{"path": "report.pdf", "reason": reason}])
    assert place.docsim("query", "rotate the signing keys")["hits"][0]["id"] == "keys.html"
    assert place.docsim("query", "lentils", "--mode", "lexical")["hits"][0]["id"] == "soup.md"
    assert place.docsim("query", "train tickets", "--explain")["hits"][0]["id"] in {"train.rst", "copy.txt"}
    assert place.docsim("similar", "train.rst")["hits"][0]["id"] == "copy.txt"
    assert place.docsim("duplicates")["groups"]
    status = place.docsim("status")
    assert (status["documents"], [one["reason"] for one in status["failures"]]) == (5, [reason])
    place.docsim("verify")
    place.docsim("repair")
    place.docsim("reindex", "--encoder", "tiny", "--force")  # five documents are too few to measure
    place.docsim("rollback")
    place.docsim("query", "rotate the signing keys")


@of("")
def test_plain_docsim_explains_exactly_which_words_count(place: Place) -> None:
    place.docsim("index", "pages")
    explained = place.docsim("explain", "train.rst", "copy.txt")
    assert explained["exact"]


@of("")
def test_plain_docsim_is_small_and_says_what_more_needs(place: Place) -> None:
    files = installed_files(site_packages(place.binaries))
    assert sum(file.stat().st_size for file in files) < LIMIT
    check_that_nothing_else_is_installed(place, "scipy", "pandas", "markitdown", "onnx", "matplotlib", "keras")
    place.docsim("index", "pages")
    check_what_is_missing(place, "eval", "map", "train", "serve", "embed", "postgres")


@of("embed")
def test_the_extra_embed_encodes_in_processes(place: Place) -> None:
    place.docsim("index", "pages")
    assert place.docsim("embed", "--encoder", "tiny", "--out", "vectors")["documents"] == 4
    place.docsim("reindex", "--encoder", "tiny", "--from", "vectors", "--force")
    done = place.run("embed", "--encoder", "fast", "--out", "vectors", "--on", "ray")
    sentence = 'encoding on Ray needs the extra "ray": pip install "docsim[ray]"'
    assert (done.returncode, done.stderr) == (2, f"Error: {sentence}\n")
    check_that_nothing_else_is_installed(place, "ray", "pandas", "scipy", "tensorflow")


@of("ray")
def test_the_extra_ray_encodes_on_a_cluster_of_its_own(place: Place) -> None:
    place.docsim("index", "pages")
    assert place.docsim("embed", "--encoder", "tiny", "--out", "vectors", "--on", "ray")["documents"] == 4
    check_that_nothing_else_is_installed(place, "scipy", "tensorflow", "fastapi")


@of("serve")
def test_the_extra_serve_serves_an_index(place: Place) -> None:
    place.docsim("index", "pages")
    place.docsim("token", "list")
    with serving(place.folder / "indexes" / "pages", docsim=place.binaries / "docsim") as running:
        with running.client() as client:
            found = client.get("/v1/search", params={"text": "rotate the signing keys"}).json()
            assert found["hits"][0]["id"] == "keys.html"
            refused = client.post("/v1/similar/file", params={"name": "a.docx"}, content=b"PK")
            told = 'reading .docx files needs the extra "files": pip install "docsim[files]"'
            assert problem(refused, 415) == told
            listed = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
            accepted = {"Accept": "application/json, text/event-stream"}
            assert client.post("/mcp", json=listed, headers=accepted).json()["result"]["tools"]
        with running.client(headers={"Accept": "text/html"}) as browser:
            assert "Keys" in browser.get("/", params={"q": "rotate the signing keys"}).text
            assert [browser.get(f"/static/{name}").status_code for name in ("page.css", "page.js")] == [200, 200]
    check_that_nothing_else_is_installed(place, "scipy", "markitdown", "sklearn", "matplotlib", "tensorflow")
    check_what_is_missing(place, "eval", "map", "train")


@of("postgres")
def test_the_extra_postgres_keeps_an_index_in_a_database(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(place.folder / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(place.folder / "cache"))
    address = server().address()
    assert place.docsim("index", "pages", "--index", address)["added"] == 4
    found = place.docsim("query", "rotate the signing keys", "--index", address)
    assert found["hits"][0]["id"] == "keys.html"
    check_that_nothing_else_is_installed(place, "scipy", "markitdown", "sklearn", "matplotlib", "tensorflow", "fastapi")
    check_what_is_missing(place, "eval", "map", "train", "serve")


@of("files")
def test_the_extra_files_reads_office_and_pdf(place: Place) -> None:
    (place.folder / "pages" / "report.pdf").write_bytes(pdf("The quarterly report of the database team"))
    (place.folder / "pages" / "letter.docx").write_bytes(docx(paragraph("Dear cat, the garden is yours.")))
    assert place.docsim("index", "pages")["added"] == 6
    assert place.docsim("query", "cat in the garden")["hits"][0]["id"] == "letter.docx"
    assert place.docsim("query", "quarterly report", "--mode", "lexical")["hits"][0]["id"] == "report.pdf"
    check_that_nothing_else_is_installed(place, "scipy", "sklearn", "matplotlib", "tensorflow")
    check_what_is_missing(place, "eval", "map", "train")


@of("eval")
def test_the_extra_eval_evaluates_rankings_and_pairs(place: Place) -> None:
    place.docsim("index", "pages")
    assert place.docsim("eval", "--qrels", "qrels.txt")["metrics"]["R@100"] == 1.0
    assert -1 <= place.docsim("eval-pairs", "tiny", "pairs.jsonl")["spearman"] <= 1
    check_that_nothing_else_is_installed(place, "markitdown", "sklearn", "matplotlib", "tensorflow")
    check_what_is_missing(place, "map", "train")


@of("map")
def test_the_extra_map_draws_a_map(place: Place) -> None:
    place.docsim("index", "pages", "records.jsonl")
    place.docsim("map", "--out", "drawn")
    assert {file.suffix for file in (place.folder / "drawn").iterdir()} >= {".html", ".png"}
    check_that_nothing_else_is_installed(place, "markitdown", "ir_measures", "tensorflow")
    shutil.rmtree(place.folder / "drawn")
    check_what_is_missing(place, "eval", "train")


ASKING = {
    "langchain": "[one.metadata for one in DocsimRetriever(address=where, k=2).invoke(text)]",
    "llamaindex": "[one.node.metadata for one in DocsimRetriever(where, k=2).retrieve(text)]",
    "haystack": "[one.meta for one in DocsimRetriever(where, top_k=2).run(text)['documents']]",
}


@of("langchain", "llamaindex", "haystack")
def test_the_extra_of_a_library_asks_an_index_and_a_server(place: Place, request: pytest.FixtureRequest) -> None:
    library = str(request.node.callspec.params["environment"])
    place.docsim("index", "pages")
    index = place.folder / "indexes" / "pages"
    with serving(index) as running:
        for address in (str(index), running.address):
            code = f"where, text = {address!r}, 'rotate the signing keys'\n"
            code += f"from docsim.integrations.{library} import DocsimRetriever\n"
            code += f"print([one['docsim']['id'] for one in {ASKING[library]}][0])"
            done = run(place.binaries / "python", "-W", "ignore", "-c", code, cwd=place.folder)
            assert (done.returncode, done.stdout) == (0, "keys.html\n"), done.stderr
    check_that_nothing_else_is_installed(place, "scipy", "tensorflow", "fastapi", "pyarrow", "torch")
    check_what_is_missing(place, "eval", "map", "train", "serve")


@of("langchain")
def test_langchains_own_tests_of_retrievers_pass(place: Place) -> None:
    uv("pip", "install", "--python", str(place.binaries / "python"), "langchain-tests>=1.0,<2")
    place.docsim("index", "pages")
    index = place.folder / "indexes" / "pages"
    shutil.copy(Path(__file__).parent / "langchain_standard.py", place.folder / "test_standard.py")
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--asyncio-mode=auto", "-rA", "test_standard.py"]
    with serving(index) as running:
        given = (f"DOCSIM_TEST_INDEX={index}", f"DOCSIM_TEST_SERVER={running.address}")
        done = run("env", *given, place.binaries / "python", *command, cwd=place.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = [line for line in done.stdout.splitlines() if line.startswith("PASSED")]
    assert len(passed) >= 8, done.stdout  # four over each, and what looks after them


@of(" 3.12", " 3.13", " 3.14")
def test_other_versions_of_python_index_and_answer(place: Place) -> None:
    place.docsim("index", "pages", "records.jsonl")
    assert place.docsim("query", "rotate the signing keys")["hits"][0]["id"] == "keys.html"
    assert place.docsim("explain", "train.rst", "copy.txt")["exact"]


@of("train", "train 3.13")
def test_the_extra_train_trains_and_makes_encoders(place: Place) -> None:
    documents = [json.dumps({"id": one.id, "text": one.text}) for one in toy_training.documents()]
    (place.folder / "toy.jsonl").write_text("\n".join(documents))
    made = place.docsim("encoder", "from-vectors", "glove.txt", "--out", "vectors")
    assert made["dim"] == 2
    fast = ["--steps", "20", "--batch", "32"]
    place.docsim("train", "--from", "tiny", "--corpus", "toy.jsonl", "--out", "made", "--report", "report", *fast)
    assert place.docsim("index", "pages", "--encoder", "made")["added"] == 4
    shutil.rmtree(place.folder / "made")
    check_that_nothing_else_is_installed(place, "markitdown", "ir_measures", "sklearn")
    check_what_is_missing(place, "eval", "map")
