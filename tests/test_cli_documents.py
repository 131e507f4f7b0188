"""``docsim ls``, ``open``, ``rm`` and ``trust``, ``docsim.toml``, and an answer as people see it."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from docsim import Index
from docsim.cli import hits, last_answer, main
from docsim.text.matching import Matcher

LEAVE = "# Annual leave\n\n## Days\n\nEverybody has 27 days of leave a year, and all public holidays on top of them.\n"
PAGES = {
    "leave.md": LEAVE,
    "old/leave-2019.md": LEAVE.replace("top of them", "top of that"),
    "soup.html": "<h1>Soup</h1><p>Boil the lentils until the soup is soft.</p>",
    "caf\u00e9.md": "# Coffee\n\nThe coffee is free.\x1b[31m",
}
TICKETS = [{"id": "t1", "text": "The printer is jammed.", "url": "https://example.org/t/1"}]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    """A folder with pages, a table within it, records from a pipe, and their index."""
    root = tmp_path_factory.mktemp("made")
    for name, text in PAGES.items():
        (root / "pages" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "pages" / name).write_text(text)
    (root / "pages" / "more.csv").write_text("id,text\nc1,Lunch is at noon\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run("index", "pages", "--include", "*.csv", "--encoder", str(tiny_encoder_dir), "--index", "indexes/pages")
        run("index", "-", "--index", "indexes/pages", stdin="\n".join(map(json.dumps, TICKETS)))
    return root


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that index, and the pages where they were."""
    shutil.copytree(made / "indexes", tmp_path / "indexes")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOCSIM_INDEX", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def run(*arguments: str, code: int = 0, stdin: str | None = None) -> str:
    return result(*arguments, code=code, stdin=stdin).output


def result(*arguments: str, code: int = 0, stdin: str | None = None) -> Result:
    found = CliRunner().invoke(main, arguments, input=stdin)
    assert found.exit_code == code, (found.output, found.exception)
    return found


def answer(*arguments: str) -> Any:
    return json.loads(result(*arguments, "--json").stdout)


def test_documents_are_listed_by_id_path_and_pattern(here: Path) -> None:
    assert run("ls").splitlines() == [
        "caf\u00e9.md\tCoffee", "leave.md\tAnnual leave", "more.csv/c1\t", "old/leave-2019.md\tAnnual leave",
        "soup.html\tSoup", "t1\t",
    ]  # fmt: skip
    assert [one["id"] for one in answer("ls", "old/", "s*.html")] == ["old/leave-2019.md", "soup.html"]
    assert answer("ls", "t1") == [{"id": "t1", "title": "", "passages": 1, "metadata": {"url": TICKETS[0]["url"]}}]
    assert run("ls", "nothing") == "No document matches.\n"


def test_a_document_opens_where_it_came_from(made: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = made / "pages"
    places = {"leave.md": "leave.md", "more.csv/c1": "more.csv", "cafe\u0301.md": "caf\u00e9.md"}
    for id, file in places.items():
        assert run("open", id, "--print") == f"{pages / file}\n"
    assert answer("open", "t1") == {"id": "t1", "place": "https://example.org/t/1", "line": None}
    editor = here / "editor"
    editor.write_text(f'#!/bin/sh\necho "$@" > {here}/opened\n')
    editor.chmod(0o700)
    monkeypatch.setenv("EDITOR", f"{editor} -w")
    monkeypatch.delenv("VISUAL", raising=False)
    run("open", "leave.md")
    assert (here / "opened").read_text() == f"-w {pages / 'leave.md'}\n"
    monkeypatch.setenv("EDITOR", "/no/such/editor")
    assert "expected an editor in $VISUAL or $EDITOR" in run("open", "leave.md", code=2)
    assert "did you mean leave.md" in run("open", "leav.md", code=2)


def test_a_number_opens_a_hit_of_the_last_answer(made: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no question was asked" in run("open", "1", code=2)
    with Index.open("indexes/pages") as index:
        result = index.search("lentil soup", 2)
        last_answer.remember(index, result)
        assert "no question was asked" in run("open", "1", code=2)  # nobody saw it
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        last_answer.remember(index, result)
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert answer("open", "1")["id"] == result.hits[0].id
    assert "which had hits 1 to 2; got 3" in run("open", "3", code=2)
    kept = here / "state" / "docsim" / "last-answer.json"
    assert "lentil" not in kept.read_text()
    assert kept.parent.stat().st_mode & 0o077 == 0
    kept.write_text('{"index": 7}')
    assert "no question was asked" in run("open", "1", code=2)


@pytest.mark.parametrize(
    ("editor", "given"), [("vim", "+{} {}"), ("code", "--goto {1}:{0}"), ("hx", "{1}:{0}"), ("ed", "{1}")]
)
def test_a_hit_opens_at_the_line_where_its_passage_begins(
    here: Path, monkeypatch: pytest.MonkeyPatch, editor: str, given: str
) -> None:
    page = here / "long" / "rules.md"
    page.parent.mkdir()
    parts = [f"## Rule {n}\n\n{'Keep to this rule, whatever happens. ' * 20}" for n in range(9)]
    page.write_text(
        "---\ntitle: Rules\n---\n\n" + "\n\n".join([*parts[:5], "## Badges\n\nWear a purple badge.", *parts[5:]])
    )
    run("index", str(page.parent), "--index", "long-index")
    opener = here / editor
    opener.write_text(f'#!/bin/sh\necho "$@" > {here}/opened\n')
    opener.chmod(0o755)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("EDITOR", str(opener))
    monkeypatch.delenv("VISUAL", raising=False)
    with Index.open("long-index") as index:
        result = index.search("purple badge", 1, mode="lexical")
        last_answer.remember(index, result)
    best = result.hits[0].passages[0].text.split("\n")[0]
    line = page.read_text().split("\n").index(best) + 1
    assert answer("open", "1")["line"] == line > 5
    run("open", "1")
    assert (here / "opened").read_text() == given.format(line, page) + "\n"


def test_removing_names_what_will_come_back(here: Path) -> None:
    assert "did you mean leave.md" in run("rm", "leav.md", "t1", code=2)
    assert answer("rm", "t1", "leave.md") == {"removed": 2, "still_in_source": ["leave.md"]}
    assert "expected the id" in run("rm", "t1", code=2)
    assert run("rm", "soup.html").splitlines() == [
        "Removed 1 document",
        "soup.html will come back with the next docsim index, unless .docsimignore names it",
    ]
    assert len(run("ls").splitlines()) == 3


def test_people_see_the_sentence_that_answers_and_one_of_two_versions(here: Path) -> None:
    with Index.open("indexes/pages") as index:
        result = index.search("how many days of leave", 3)
        outputs = []
        for fold in (True, False):
            table = hits.rows(result, result.query, {}, Matcher(result.query), encoder=index.encoder, fold=fold)
            console = Console(file=io.StringIO(), width=120, color_system=None)
            console.print(table)
            outputs.append(console.file.getvalue())  # type: ignore[attr-defined]
    folded, whole = outputs
    assert any(line.endswith("  Days") for line in map(str.rstrip, folded.splitlines()))
    assert "Everybody has 27 days of leave a year" in folded
    assert "##" not in folded
    assert "and 1 similar: 2 " in folded
    assert "similar" not in whole
    assert whole.count("Annual leave") == 2
    assert folded.count("Annual leave") == 1


def test_an_order_that_numbers_contradict_is_explained(here: Path) -> None:
    with Index.open("indexes/pages") as index:
        found = [index.search("the soup", 5, mode=mode) for mode in ("dense", "lexical", "hybrid")]
    for result in found:
        shown = [round(hit.similarity, 2) for hit in result.hits]
        notes = " ".join(hits.footnotes(result, where="team = 'a'"))
        assert ("the similarity is that of the best passage alone" in notes) == (shown != sorted(shown, reverse=True))
        assert "only team = 'a'" in notes
        assert "--diversity" in " ".join(hits.footnotes(result, is_diverse=True))


def test_settings_are_used_after_they_are_trusted_and_until_they_change(
    made: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    below = here / "a" / "b"
    below.mkdir(parents=True)
    written = '[all]\nindex = "indexes/pages"\n[index]\nsource = ["notes"]\n[query]\nk = 1\nin = "old"\n'
    (here / "docsim.toml").write_text(written)
    (here / "notes").mkdir()
    (here / "notes" / "note.md").write_text("# A note")
    monkeypatch.chdir(below)
    assert "is not used, because you have not trusted it" in run("query", "soup")
    assert "Trusted as it is now" in run("trust")
    assert [hit["id"] for hit in answer("query", "soup")["hits"]] == ["old/leave-2019.md"]
    assert [hit["id"] for hit in answer("query", "soup", "--in", "soup.html")["hits"]] == ["soup.html"]
    assert answer("index")["added"] == 1
    (here / "docsim.toml").write_text(f"{written}mode = 'dense'\n")
    assert "is not used" in run("query", "soup")
    run("trust", str(here))
    run("trust", "--revoke")
    assert "is not used" in run("query", "soup")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[quary]\nk = 1", "got 'quary'; did you mean query?"),
        ("[query]\nmod = 'dense'", "got 'mod'; did you mean mode?"),
        ("[all]\nwheer = 'x'", "got 'wheer'; did you mean where"),
        ("k = 1", "in a table, such as [all] or [query]"),
        ("[query", "expected TOML in"),
        ("[query]\nk = 'many'", "'many' is not a valid integer"),
    ],
)
def test_settings_that_say_nothing_docsim_knows_are_refused(here: Path, written: str, said: str) -> None:
    (here / "docsim.toml").write_text(written)
    is_known = "many" in written
    output = run("trust", code=0 if is_known else 2)
    assert said in (run("query", "soup", code=2) if is_known else output)


def test_a_source_without_documents_is_told_with_exit_code_3(here: Path) -> None:
    Path("empty").mkdir()
    assert "Nothing to index: " in (said := run("index", "empty", "--index", "new", code=3))
    assert "is an empty folder" in said
    (here / "empty" / ".hidden").touch()
    assert "everything in it is hidden or ignored" in run("index", "empty", "--index", "new", code=3)
    Path("none.csv").write_text("id,text\n")
    assert "none.csv holds no records" in run("index", "none.csv", "--index", "new", code=3)
    assert "holds no records" in run("index", "-", "--index", "new", stdin="")
