"""Freshness: what became of the files of hits, in the library, on the command line and in the server."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console
from served import serving, token

from docsim import Encoder, Index
from docsim.cli import hits, main
from docsim.ingest.sources import ReadingOptions, open_source
from docsim.jobs import freshness
from docsim.jobs.sync import sync
from docsim.serving.files import Files
from docsim.text.matching import Matcher

PAGES = {
    "soup.md": "# Soup\n\nBoil the lentils until the soup is soft.\n",
    "stew.md": "# Stew\n\nCook the lentils in water until the stew is soft.\n",
    "team/keys.md": "# Keys\n\nRotate the signing keys every year.\n",
    "hr/pay.md": "---\naccess: hr\n---\n# Pay\n\nLentils are paid in kind.\n",
    "list.csv": "id,text\na,Buy lentils\nb,Buy keys\n",
}
LATER = time.time() + 3600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of pages that were saved an hour ago, so that only what happens from now on is a change."""
    for name, text in PAGES.items():
        file = tmp_path / "pages" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        os.utime(file, (LATER - 7200, LATER - 7200))
    return tmp_path / "pages"


@pytest.fixture
def index(folder: Path, tmp_path: Path, tiny_encoder_dir: Path) -> Iterator[Index]:
    with_tables = ReadingOptions(include=("*.csv",))
    sync(tmp_path / "index", [open_source(str(folder), reading=with_tables)], encoder=Encoder.load(tiny_encoder_dir))
    with Index.open(tmp_path / "index") as index:
        yield index


def states(index: Index) -> dict[str, str]:
    ids = [*(name for name in PAGES if name.endswith(".md")), "list.csv/a"]
    return dict(freshness.stale(freshness.origins(index, ids)))


def test_a_file_that_changed_or_went_is_told_and_no_other(index: Index, folder: Path) -> None:
    assert states(index) == {}
    (folder / "soup.md").write_text(PAGES["soup.md"] + "Add salt.\n")
    (folder / "stew.md").unlink()
    (folder / "team" / "keys.md").touch()  # its content is what it was
    os.utime(folder / "list.csv", (LATER, LATER))
    assert states(index) == {"soup.md": "changed", "stew.md": "gone", "list.csv/a": "changed"}
    shown = {hit.id: hit.stale for hit in freshness.noted(index, index.search("lentils")).hits}
    assert shown["soup.md"] == "changed"
    assert shown["team/keys.md"] is None


def test_a_change_that_keeps_the_time_of_the_file_is_told(index: Index, folder: Path) -> None:
    before = (folder / "soup.md").stat()
    time.sleep(1.1)  # sources are noted to the second
    (folder / "soup.md").write_text("# Soup\n\nAnother one.\n")
    os.utime(folder / "soup.md", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert states(index) == {"soup.md": "changed"}


def test_nothing_is_told_of_a_place_that_cannot_be_reached(index: Index, folder: Path) -> None:
    shutil.move(folder, folder.with_name("elsewhere"))
    assert states(index) == {}
    folder.mkdir()  # as an unmounted drive leaves it
    assert states(index) == {}


def test_what_is_indexed_again_is_as_its_file_is_and_what_cannot_be_read_is_not(index: Index, folder: Path) -> None:
    (folder / "soup.md").write_text("# Soup\n\nAnother one.\n")
    (folder / "stew.md").write_bytes(b"\x00\x01\x02 no text \xff\xfe" * 50)
    sync(index.path, [open_source(str(folder))], encoder=index.encoder)
    assert index.engine.sources().failures()
    assert states(index) == {"stew.md": "changed"}


def test_a_document_of_two_sources_is_as_it_was_while_one_of_its_files_is(
    folder: Path, tmp_path: Path, tiny_encoder_dir: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    sources = [open_source(str(one)) for one in (folder, other)]
    sync(tmp_path / "both", sources, encoder=Encoder.load(tiny_encoder_dir))
    with Index.open(tmp_path / "both") as index:
        (folder / "stew.md").unlink()
        assert states(index) == {}
        (other / "stew.md").write_text("# Stew\n\nAnother one.\n")
        assert states(index) == {"stew.md": "changed"}


def test_the_command_line_says_it_to_people_to_pipes_and_in_json(index: Index, folder: Path) -> None:
    (folder / "soup.md").write_text("# Soup\n\nAnother one.\n")
    (folder / "stew.md").unlink()

    def run(*arguments: str) -> tuple[str, str]:
        done = CliRunner().invoke(main, [*arguments, "--index", str(index.path)])
        assert done.exit_code == 0, done.output
        return done.stdout, done.stderr

    found = json.loads(run("query", "lentils", "--json")[0])
    assert {hit["id"]: hit["stale"] for hit in found["hits"]}["soup.md"] == "changed"
    told = run("query", "lentils")[1]
    assert "soup.md (changed)" in told
    assert "stew.md (gone)" in told
    assert "(changed)" not in run("query", "lentils", "--quiet")[1]
    assert json.loads(run("show", "stew.md", "--json")[0])["stale"] == "gone"
    assert "the file of stew.md is gone" in run("show", "stew.md")[1]


def test_on_a_terminal_it_stands_below_the_hit(index: Index, folder: Path) -> None:
    (folder / "stew.md").unlink()
    result = freshness.noted(index, index.search("lentils"))
    console = Console(file=io.StringIO(), width=100)
    console.print(hits.rows(result, "lentils", {}, Matcher("lentils")))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert shown.count("Its file is gone since it was indexed.") == 1
    assert any("docsim index brings in" in line for line in hits.footnotes(result))


def test_the_server_says_it_of_what_somebody_may_see_and_never_where_files_lie(index: Index, folder: Path) -> None:
    everybody = token(index.path, "guest", groups=[])
    (folder / "soup.md").write_text("# Soup\n\nAnother one.\n")
    (folder / "stew.md").unlink()
    (folder / "hr" / "pay.md").unlink()
    with serving(index.path) as served, served.client(everybody) as client:
        answers = [client.get("/v1/search", params={"text": "lentils"})]
        hits = {hit["id"]: hit["stale"] for hit in answers[0].json()["hits"]}
        assert (hits["soup.md"], hits["stew.md"], hits["team/keys.md"]) == ("changed", "gone", None)
        assert "hr/pay.md" not in hits
        answers.append(client.get("/v1/documents/stew.md"))
        assert answers[1].json()["stale"] == "gone"
        answers += [client.get("/", params={"q": "lentils"}), client.get("/d/soup.md")]
        assert "Its file is gone since it was indexed." in answers[2].text
        assert "Its file has changed since this was indexed." in answers[3].text
        assert client.get("/v1/documents/hr/pay.md").status_code == 404
        assert all(str(folder) not in one.text for one in answers)


def test_nobody_looks_at_files_while_somebody_else_hangs_on_them(index: Index, folder: Path) -> None:
    (folder / "stew.md").unlink()
    files = Files(index)
    assert files.stale(["stew.md"]) == {"stew.md": "gone"}
    files._looking[object()] = time.monotonic() - 1  # somebody who hangs
    assert files.stale(["stew.md"]) == {}
    files._looking.clear()
    assert files.stale(["stew.md"]) == {"stew.md": "gone"}
