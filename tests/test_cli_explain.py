"""``docsim explain`` as it is used: ids, files, questions; JSON, lines and colours."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from docsim.cli import main
from docsim.encoding.encoder import Encoder
from docsim.index import Index
from docsim.models import Document

TEXTS = {"keys.md": "Rotate the signing keys every year.", "soup.md": "Boil the lentils until the soup is soft."}


@pytest.fixture(autouse=True)
def index(tmp_path: Path, tiny_encoder_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCSIM_INDEX", str(tmp_path / "index"))
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document(id, text) for id, text in TEXTS.items()])
    return tmp_path / "index"


def docsim(*arguments: str, code: int = 0, stdin: str | None = None) -> str:
    result = CliRunner().invoke(main, arguments, input=stdin)
    assert result.exit_code == code, result.output
    return result.output


def run(*arguments: str, code: int = 0, stdin: str | None = None) -> str:
    return docsim("explain", *arguments, code=code, stdin=stdin)


def on_a_terminal(*arguments: str) -> str:
    """Return what the command prints where its standard output is a terminal."""
    leader, follower = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"}
    command = [sys.executable, "-c", "from docsim.cli import main; main()", "explain", *arguments]
    with subprocess.Popen(command, stdout=follower, stderr=subprocess.PIPE, env=environment) as process:
        os.close(follower)
        printed = b""
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:  # the other end was closed
                break
            if not part:
                break
            printed += part
    os.close(leader)
    assert process.returncode == 0, printed
    return printed.decode()


def test_json_tells_passages_words_links_and_terms() -> None:
    found = json.loads(run("keys.md", "soup.md", "--json"))
    assert list(found) == ["a", "b", "encoder", "exact", "score", "similarity", "pairs", "terms"]
    assert (found["a"], found["b"]) == ({"id": "keys.md", "title": ""}, {"id": "soup.md", "title": ""})
    (pair,) = found["pairs"]
    assert (pair["a"]["text"], pair["b"]["text"]) == (TEXTS["keys.md"], TEXTS["soup.md"])
    assert sum(word["contribution"] for word in pair["a"]["words"]) == pytest.approx(found["similarity"])
    assert [term["term"] for term in found["terms"]] == ["the"]


def test_a_pipe_gets_a_line_a_pair_without_colours() -> None:
    similarity, a, b, words = run("soup soup", "soup.md").rstrip("\n").split("\t")
    assert (float(similarity) > 0, a, b, words) == (True, "0-9", "0-40", "soup")


def test_a_terminal_gets_highlights() -> None:
    assert "\x1b[1;32msoup\x1b[0m is soft" in on_a_terminal("soup soup", "soup.md")


def test_a_file_and_standard_input_are_compared_like_documents() -> None:
    Path("draft.md").write_text("Boil the soup.")
    assert json.loads(run("draft.md", "soup.md", "--json"))["a"]["id"] == "draft.md"
    assert json.loads(run("-", "soup.md", "--json", stdin="Boil the soup."))["similarity"] > 0


def test_standard_input_without_a_text_is_refused_and_so_is_asking_for_it_twice() -> None:
    assert "expected a text on standard input, got none" in run("-", "soup.md", stdin=" \n", code=2)
    twice = run("-", "-", stdin="Boil the soup.", code=2)
    assert "expected standard input, -, for A or for B; got it for both" in twice


def test_what_looks_like_a_path_but_is_none_is_no_question() -> None:
    assert "the path of a file" in run("missing/page.md", "soup.md", code=2)


def test_the_second_is_never_a_question() -> None:
    assert "got 'boil soup'" in run("soup.md", "boil soup", code=2)


def test_a_search_explains_each_hit_when_asked() -> None:
    hits = json.loads(docsim("query", "rotate keys", "--explain", "--json"))["hits"]
    for hit in hits:
        assert hit["explain"]["b"]["id"] == hit["id"]
        words = hit["explain"]["pairs"][0]["a"]["words"]
        assert [word["text"] for word in words] == ["rotate", "keys"]
        assert sum(word["contribution"] for word in words) == pytest.approx(hit["similarity"], abs=2e-3)


def test_lines_of_an_explained_search_end_with_what_carries_the_hit() -> None:
    assert docsim("query", "rotate keys", "-k", "1", "--explain").rstrip("\n").split("\t")[-1] == "rotate"
    assert docsim("similar", "keys.md", "--explain").startswith("1\t")


def test_without_asking_a_hit_is_not_explained() -> None:
    assert "explain" not in json.loads(docsim("query", "rotate keys", "--json"))["hits"][0]
