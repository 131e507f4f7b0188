"""Sources from the command line: what is left out is counted, links and renamed folders stay one source, sources go."""

from __future__ import annotations

import gzip
import json
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from click.testing import CliRunner, Result

from docsim.cli import main
from docsim.index import Index
from docsim.jobs.sync import SyncOptions, sync_source
from docsim.serving.watching import watched_sources

ENCODER: list[str] = []


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_encoder_dir: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.delenv("DOCSIM_INDEX", raising=False)
    ENCODER[:] = ["--encoder", str(tiny_encoder_dir)]
    return tmp_path


def run(*arguments: str, code: int = 0, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(main, arguments, input=stdin)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def index(*arguments: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("index", *arguments, *ENCODER, "--json", code=code).stdout)
    return found


def pages(folder: str, **texts: str) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        Path(folder, f"{name}.md").write_text(text)


def ids(*arguments: str) -> set[str]:
    found = json.loads(run("query", "lentils", "-k", "99", "--json", *arguments).stdout)
    return {hit["id"] for hit in found["hits"]}


def test_files_that_are_not_read_are_counted_listed_and_make_the_exit_code_3() -> None:
    Path("chat").mkdir()
    for day in range(7):
        Path(f"chat/2024-01-0{day}.json").write_text("[]")
    told = run("index", "chat", *ENCODER, code=3)
    assert "7 files left out: 7 .json" in told.stderr
    assert "--include '*.json'" in told.stderr
    listed = run("status", "--left-out").stdout.splitlines()
    assert len(listed) == 7
    assert listed[0].startswith(".json\t")
    assert "left out    7: 7 .json" in run("status").stdout
    assert index("chat", "--include", "*.json")["added"] == 7
    assert index("chat")["unchanged"] == 7, "a source is read as it was the last time"
    assert run("status", "--left-out").stdout == ""


def test_a_folder_that_holds_something_to_read_exits_with_0() -> None:
    pages("docs", a="lentils")
    Path("docs/x.png").write_bytes(b"x")
    assert index("docs")["left_out"] == {".png": 1}


def test_a_link_that_points_to_another_folder_stays_one_source() -> None:
    pages("rel/1", soup="lentils old", gone="lentils gone")
    pages("rel/2", soup="lentils new")
    Path("current").symlink_to("rel/1")
    index("current")
    Path("current").unlink()
    Path("current").symlink_to("rel/2")
    report = index("current")
    assert (report["changed"], report["removed"]) == (1, 1)
    assert ids() == {"soup.md"}


def test_a_file_behind_a_link_stays_one_source() -> None:
    Path("1.jsonl").write_text('{"id": "a", "text": "lentils"}\n{"id": "b", "text": "lentils"}\n')
    Path("2.jsonl").write_text('{"id": "a", "text": "lentils"}\n')
    Path("latest.jsonl").symlink_to("1.jsonl")
    index("latest.jsonl")
    Path("latest.jsonl").unlink()
    Path("latest.jsonl").symlink_to("2.jsonl")
    assert index("latest.jsonl")["removed"] == 1


def test_a_file_behind_a_link_is_not_among_its_own_hits() -> None:
    pages("rel", soup="lentils", stew="lentils and salt")
    Path("current").symlink_to("rel")
    index("current")
    for name in ("rel/soup.md", "current/soup.md"):
        hits = json.loads(run("similar", name, "--json").stdout)["hits"]
        assert [hit["id"] for hit in hits] == ["stew.md"]


def test_a_folder_that_holds_its_index_is_empty_without_it(here: Path) -> None:
    run("index", ".", "--index", "ix", code=3)
    pages(".", soup="lentils")
    told = run("index", ".", "--index", "ix")
    assert "left out" not in told.stderr
    assert ids("--index", "ix") == {"soup.md"}


def test_a_link_and_its_folder_are_one_source() -> None:
    pages("real", soup="lentils")
    Path("link").symlink_to("real")
    index("real", "--index", "x")
    assert index("link", "--index", "x")["unchanged"] == 1
    assert index("real", "--index", "x")["unchanged"] == 1
    assert len(json.loads(run("sources", "--index", "x", "--json").stdout)) == 1


def test_a_renamed_folder_takes_its_deleted_pages_along() -> None:
    pages("old", a="lentils one", b="lentils two", c="lentils three", d="lentils four")
    index("old")
    Path("old").rename("new")
    Path("new/a.md").unlink()
    Path("new/b.md").unlink()
    report = index("new", "--index", "indexes/old")
    assert (report["unchanged"], report["removed"]) == (2, 2)
    assert ids() == {"c.md", "d.md"}


def test_another_folder_with_the_same_names_is_another_source() -> None:
    pages("old", a="lentils one", b="lentils two")
    index("old")
    shutil.rmtree("old")
    pages("new", a="lentils other", b="lentils others")
    index("new", "--index", "indexes/old")
    assert len(json.loads(run("sources", "--json").stdout)) == 2


def test_a_second_knowledge_base_is_not_put_into_the_index_of_the_first() -> None:
    pages("vault", a="lentils")
    pages("tickets", b="lentils")
    index("vault")
    told = run("index", "tickets", *ENCODER, code=2).stderr
    assert "docsim index tickets --index indexes/vault" in told
    assert "docsim index tickets --index indexes/tickets" in told
    index("tickets", "--index", "indexes/tickets")
    assert index("vault")["index"] == "indexes/vault"
    assert index("tickets")["index"] == "indexes/tickets"
    assert index("vault", "tickets", "--index", "both")["added"] == 2


def test_a_source_is_forgotten_with_the_documents_that_no_other_has() -> None:
    pages("one", a="lentils", shared="lentils and salt")
    pages("two", shared="lentils and salt")
    index("one", "two", "--index", "x")
    shutil.rmtree("one")
    listed = run("sources", "--index", "x").stdout
    assert "gone; remove its documents with: docsim forget" in listed
    assert run("forget", "one", "--index", "x").stdout.endswith("1 documents removed\n")
    assert ids("--index", "x") == {"shared.md"}
    assert "two" in run("forget", "nothing", "--index", "x", code=2).stderr
    assert run("verify", "--index", "x").stdout == "The index is sound.\n"


def test_columns_of_a_table_are_named() -> None:
    Path("t.csv").write_text("Key,Summary,Description,Label,Label\nT-1,Pot,Boil lentils,a,b\nT-2,Pan,Fry,c,\n")
    assert "--text-column" in run("index", "t.csv", *ENCODER, code=2).stderr
    assert not Path("indexes").exists()
    index("t.csv", "--text-column", "description", "--title-column", "Summary", "--id-column", "Key")
    shown = json.loads(run("show", "T-1", "--json").stdout)
    assert (shown["title"], shown["text"], shown["metadata"]) == ("Pot", "Boil lentils", {"Label": ["a", "b"]})
    assert json.loads(run("show", "T-2", "--json").stdout)["metadata"] == {"Label": "c"}
    assert index("t.csv")["unchanged"] == 2


def test_fields_of_json_are_named() -> None:
    Path("t.jsonl").write_text('{"key": 7, "body": "lentils", "text": "other"}\n')
    index("t.jsonl", "--text-column", "body", "--id-column", "key")
    shown = json.loads(run("show", "7", "--json").stdout)
    assert (shown["text"], shown["metadata"]) == ("lentils", {"text": "other"})


@pytest.mark.parametrize("content", [b"x" * 60_000_000, b"\n" * 60_000_000, b'{"id": 1, "text": "a"}\n' * 2_600_000])
def test_a_table_that_unpacks_to_far_too_much_is_refused(content: bytes) -> None:
    Path("bomb.jsonl.gz").write_bytes(gzip.compress(content))
    assert "more than is safe to read" in run("index", "bomb.jsonl.gz", *ENCODER, code=2).stderr


def test_a_row_with_an_open_quote_removes_no_other() -> None:
    rows = [f"{n},title {n},lentils {n}" for n in range(6)]
    Path("t.csv").write_text("\n".join(["id,title,text", *rows]) + "\n")
    index("t.csv")
    rows[2] = '2,"title 2,lentils 2'
    Path("t.csv").write_text("\n".join(["id,title,text", *rows]) + "\n")
    report = index("t.csv", code=3)
    assert (report["unchanged"], report["removed"], report["failed"]) == (5, 0, 1)


def test_documents_that_were_not_read_whole_are_listed() -> None:
    from office_files import docx, paragraph

    Path("docs").mkdir()
    Path("docs/a.docx").write_bytes(docx(paragraph("lentils"), extra={"word/embeddings/x.bin": "x"}))
    index("docs")
    assert "incomplete  1; list them with: docsim status --incomplete" in run("status").stdout
    assert run("status", "--incomplete").stdout == "a.docx\t1 embedded file\n"
    assert ids("--where", "incomplete exists") == {"a.docx"}


ODD = "a\x1b]0;owned\x07\x9b31m\u202eb"


def test_control_characters_of_a_document_never_reach_the_terminal() -> None:
    record = {"id": ODD, "title": ODD, "text": f"lentils {ODD}", "field": ODD}
    Path("t.jsonl").write_text(json.dumps(record))
    Path("docs").mkdir()
    Path("docs/b\x1b[31m.pdf").write_bytes(b"%PDF broken")
    results = [run("index", "t.jsonl", *ENCODER), run("index", "docs", "--index", "indexes/t", code=3)]
    results += [
        run("query", "lentils"),
        run("query", "lentils", "--json"),
        run("show", ODD),
        run("show", ODD, "--json"),
    ]
    results += [run("similar", ODD), run("status"), run("sources"), run("show", f"{ODD}no", code=2)]
    for result in results:
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(result.output), result.output
    assert json.loads(run("query", "lentils", "--json").stdout)["hits"][0]["id"] == ODD


def test_what_is_meant_is_asked_for() -> None:
    pages("docs", annual_leave="lentils")
    index("docs")
    assert "did you mean annual_leave.md?" in run("show", "anual_leave.md", code=2).stderr
    assert "Did you mean query?" in run("qurey", "x", code=2).stderr


def test_words_need_no_quotes_and_an_index_is_found_from_a_folder_below(monkeypatch: pytest.MonkeyPatch) -> None:
    pages("docs/deep", a="lentils")
    index("docs")
    monkeypatch.chdir("docs/deep")
    found = json.loads(run("query", "boil", "some", "lentils", "--json").stdout)
    assert (found["query"], [hit["id"] for hit in found["hits"]]) == ("boil some lentils", ["deep/a.md"])


def test_titles_and_ids_are_fields_of_a_filter() -> None:
    pages("docs", a="# Soup\n\nlentils", b="# Stew\n\nlentils")
    index("docs")
    assert ids("--where", "title = 'Soup'") == {"a.md"}
    assert ids("--where", "title like 's%' and id != 'a.md'") == {"b.md"}


def test_points_in_time_compare_whatever_their_zones() -> None:
    stamps = {"a": "2024-03-01T01:00:00+02:00", "b": "2024-02-29T23:30:00Z", "c": "2024-03-01 00:30:00"}
    pages("docs", **{name: f"---\nat: {stamp}\n---\nlentils" for name, stamp in stamps.items()})
    index("docs")
    assert ids("--where", "at < '2024-02-29T23:15:00Z'") == {"a.md"}
    assert ids("--where", "at >= '2024-03-01T00:00:00Z'") == {"c.md"}
    assert ids("--where", "at > '2024-02-29'") == {"a.md", "b.md", "c.md"}
    pages("docs", d="---\nat: 2024-03-01\n---\nlentils")
    index("docs")
    assert ids("--where", "at >= '2024-03-01T00:00:00Z'") == {"c.md", "d.md"}


def test_names_that_differ_only_in_how_accents_are_written_are_two_documents() -> None:
    pages("notes", **{unicodedata.normalize(form, "B\u00fcro"): f"lentils {form}" for form in ("NFC", "NFD")})
    if len(list(Path("notes").iterdir())) == 1:
        pytest.skip("the file system takes both for one name")
    assert index("notes")["added"] == 2
    assert ids() == {"B\u00fcro.md", "B\u00fcro (2).md"}
    assert index("notes")["unchanged"] == 2


def test_an_archive_that_is_not_read_is_refused_with_what_to_do() -> None:
    Path("a.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    assert "unpack it, and index the folder" in run("index", "a.7z", code=2).stderr


def test_a_file_stays_what_it_was_read_as_whatever_it_is_recognised_as() -> None:
    address = "https://github.com/a/b/issues"
    records = [
        {"id": n, "number": n, "title": f"T{n}", "body": f"lentils {n}", "text": "soup", "state": "open"}
        | {"html_url": f"{address}/{n}", "user": {"login": "a"}, "comments": []}
        for n in range(3)
    ]
    Path("issues.jsonl").write_text("\n".join(map(json.dumps, records)))
    for options, known in (
        (["--as", "files"], {"0", "1", "2"}),
        (["--text-column", "body"], {"0", "1", "2"}),
        ([], set()),
    ):
        shutil.rmtree("indexes", ignore_errors=True)
        index("issues.jsonl", *options)
        assert index("issues.jsonl")["unchanged"] == 3
        assert ids() == (known or {"a/b#0", "a/b#1", "a/b#2"})
        path = next(Path("indexes").iterdir())
        with Index.open(path) as opened:
            (watched,) = watched_sources(["issues.jsonl"])
            assert sync_source(opened, watched, SyncOptions()).unchanged == 3


def test_a_document_is_found_by_the_name_of_its_file() -> None:
    names = {f"page-{number}": f"# Chapter {number}\n\nlentils and soup" for number in range(20)}
    pages("book", **names, **{"parking_garage": "# General\n\nlentils and soup"})
    index("book")
    found = json.loads(run("query", "parking garage", "--mode", "lexical", "--json").stdout)
    assert [hit["id"] for hit in found["hits"]] == ["parking_garage.md"]
    assert ids("--where", "title = 'General'") == {"parking_garage.md"}


def test_hidden_sheets_are_left_out_by_choice_and_stay_so() -> None:
    workbook = openpyxl.Workbook()
    workbook.active.append(["lentils"])
    workbook.create_sheet("Wages").append(["secret"])
    workbook["Wages"].sheet_state = "hidden"
    Path("books").mkdir()
    workbook.save("books/book.xlsx")
    for options, held in (([], True), (["--no-hidden"], False), ([], False), (["--hidden"], True), ([], True)):
        index("books", *options)
        assert ("secret" in run("show", "book.xlsx").stdout) is held
