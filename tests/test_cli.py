from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from filelock import FileLock

from docsim import Encoder, Index
from docsim.cli import main

PAGES = {
    "soup.md": "# Lentil soup\n\nBoil the lentils until the soup is soft.",
    "keys.md": "# Signing keys\n\nRotate the signing keys every year.",
    "travel/ticket.md": "# Train tickets\n\nBook a train ticket for the team.",
}
HIT_KEYS = ["rank", "id", "title", "score", "similarity", "percentile", "metadata", "passages", "stale"]
RESULT_KEYS = [
    "query", "mode", "generation", "encoder", "took_ms", "hits", "adapter", "operators", "corrections", "warnings",
    "answerable", "nothing_here",
]  # fmt: skip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own, without any index that the environment names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOCSIM_INDEX", raising=False)
    return tmp_path


@pytest.fixture
def pages(elsewhere: Path) -> Path:
    for name, text in PAGES.items():
        path = elsewhere / "pages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return elsewhere / "pages"


@pytest.fixture
def indexed(pages: Path, tiny_encoder_dir: Path) -> Path:
    """``pages`` indexed in the one index under ``./indexes``."""
    run("index", "pages", "--encoder", str(tiny_encoder_dir))
    return Path("indexes/pages")


def run(*arguments: str, code: int = 0, stdin: str | bytes | None = None) -> Result:
    result = CliRunner().invoke(main, arguments, input=stdin)
    assert result.exit_code == code, (result.output, result.exception)
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def answer(*arguments: str, stdin: str | bytes | None = None) -> Any:
    return json.loads(run(*arguments, "--json", stdin=stdin).stdout)


def docsim(*arguments: str | bytes, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run the real command in a process of its own."""
    command = [str(Path(sys.executable).with_name("docsim")), *arguments]
    return subprocess.run(command, capture_output=True, check=False, timeout=120, **options)


def found(result: Any) -> list[str]:
    return [hit["id"] for hit in result["hits"]]


# index


def test_indexing_a_folder_says_what_was_done(pages: Path, tiny_encoder_dir: Path) -> None:
    done = run("index", "pages", "--encoder", str(tiny_encoder_dir))
    assert done.stdout == "Indexed in indexes/pages: 3 added, 0 changed, 0 unchanged, 0 removed, 0 failed\n"
    assert done.stderr == ""
    assert "3 unchanged" in run("index", "pages").stdout


def test_the_json_of_index_has_just_these_keys(indexed: Path, pages: Path) -> None:
    (pages / "soup.md").write_text("# Another soup")
    (pages / "keys.md").unlink()
    assert answer("index", "pages") == {
        "index": "indexes/pages", "dry_run": False, "added": 0, "changed": 1, "unchanged": 1, "removed": 1, "kept": 0,
        "failed": 0, "failures": [], "left_out": {},
    }  # fmt: skip


def test_two_sources_go_into_one_index(indexed: Path, elsewhere: Path) -> None:
    records = [{"id": "t1", "text": "a ticket", "title": "T", "price": 3}, {"id": "t2", "text": "another"}]
    (elsewhere / "t.jsonl").write_text("\n".join(map(json.dumps, records)))
    counts = answer("index", "pages", "t.jsonl")
    assert (counts["added"], counts["unchanged"], counts["removed"]) == (2, 3, 0)
    hits = answer("query", "a ticket", "-k", "9")["hits"]
    assert {hit["id"]: hit["metadata"] for hit in hits}["t1"] == {"price": 3}


def test_records_come_from_standard_input(indexed: Path) -> None:
    lines = '{"id": "s1", "text": "from a pipe"}\n{"id": "s2", "text": "also"}\n'
    assert answer("index", "-", "--index", str(indexed), stdin=lines)["added"] == 2
    assert answer("index", "-", "--index", str(indexed), stdin=lines.splitlines()[0])["kept"] == 1


def test_a_page_that_cannot_be_read_gives_exit_code_3_and_all_others_go_in(indexed: Path, pages: Path) -> None:
    (pages / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    (pages / "new.md").write_text("# New page")
    result = run("index", "pages", "--json", code=3)
    counts = json.loads(result.stdout)
    assert (counts["added"], counts["failed"], counts["failures"][0]["path"]) == (1, 1, "broken.pdf")
    assert result.stderr.startswith("Not read: broken.pdf: ")
    status = answer("status")
    assert (status["failed"], status["failures"][0]["path"]) == (1, "broken.pdf")


def test_a_dry_run_of_a_new_index_writes_nothing(pages: Path) -> None:
    done = run("index", "pages", "--dry-run")
    assert done.stdout == "Would write to indexes/pages: 3 added, 0 changed, 0 unchanged, 0 removed, 0 failed\n"
    assert not Path("indexes").exists()


def test_a_dry_run_of_an_index_writes_nothing(indexed: Path, pages: Path) -> None:
    shutil.rmtree(pages / "travel")
    before = (indexed / "index.db").read_bytes()
    assert answer("index", "pages", "--dry-run")["removed"] == 1
    assert (indexed / "index.db").read_bytes() == before
    assert len(answer("query", "ticket")["hits"]) == 3


def test_an_emptied_folder_removes_nothing_unless_told_to(indexed: Path, pages: Path) -> None:
    shutil.rmtree(pages)
    pages.mkdir()
    assert "remove them with --prune" in run("index", "pages", code=3).stdout
    assert answer("status")["documents"] == 3
    assert answer("index", "pages", "--prune")["removed"] == 3


def test_an_index_with_another_encoder_is_refused(indexed: Path, elsewhere: Path) -> None:
    other = elsewhere / "other"
    shutil.copytree(indexed / "generations" / "0001" / "encoder", other)
    (other / "manifest.json").write_text("{}")
    assert "format version None" in run("index", "pages", "--encoder", "other", code=1).stderr
    assert "no such directory" in run("index", "pages", "--encoder", "nowhere", code=1).stderr


def test_an_index_that_is_being_written_to_is_refused(indexed: Path) -> None:
    with FileLock(indexed / "write.lock"):
        assert "--wait" in run("index", "pages", code=1).stderr
        assert len(answer("query", "soup")["hits"]) == 3


# query and similar


def test_the_json_of_query_has_just_these_keys(indexed: Path) -> None:
    result = answer("query", "train ticket", "-k", "2")
    assert list(result) == RESULT_KEYS
    assert (result["query"], result["mode"], result["generation"]) == ("train ticket", "hybrid", 1)
    assert re.fullmatch("[0-9a-f]{64}", result["encoder"])
    assert [hit["rank"] for hit in result["hits"]] == [1, 2]
    for hit in result["hits"]:
        assert list(hit) == HIT_KEYS
        assert list(hit["passages"][0]) == ["start", "end", "text", "similarity", "heading", "matches"]
        assert hit["similarity"] == hit["passages"][0]["similarity"]


def test_a_passage_is_the_stored_text_between_its_offsets(indexed: Path, pages: Path) -> None:
    (pages / "long.md").write_text("\n\n".join(f"# Pärt {i}\n\n" + f"Grüße 😀 number {i}. " * 60 for i in range(6)))
    run("index", "pages")
    for hit in answer("query", "number", "-k", "9")["hits"]:
        text = answer("show", hit["id"])["text"]
        for passage in hit["passages"]:
            assert passage["text"] == text[passage["start"] : passage["end"]] != ""


def test_query_prints_one_tab_separated_line_a_hit_to_a_pipe(indexed: Path) -> None:
    lines = run("query", "train ticket").stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["1", "2", "3"]
    _, similarity, id, title = lines[0].split("\t")
    assert (id, title) == ("travel/ticket.md", "Train tickets")
    assert -1 <= float(similarity) <= 1


def test_queries_come_one_a_line_from_standard_input(indexed: Path) -> None:
    lines = run("query", "-", "--json", "-k", "1", stdin="soup\n\n signing keys \n").stdout.splitlines()
    results = [json.loads(line) for line in lines]
    assert [result["query"] for result in results] == ["soup", "signing keys"]
    assert [found(result) for result in results] == [["soup.md"], ["keys.md"]]


def test_a_batch_of_queries_keeps_its_ids(indexed: Path, elsewhere: Path) -> None:
    (elsewhere / "q.jsonl").write_text('{"id": "q1", "text": "soup"}\n\n{"text": "signing keys"}\n')
    lines = run("query", "--batch", "q.jsonl", "--json", "-k", "1").stdout.splitlines()
    first, second = (json.loads(line) for line in lines)
    assert list(first) == ["id", *RESULT_KEYS]
    assert (first["id"], found(first), list(second)) == ("q1", ["soup.md"], RESULT_KEYS)


@pytest.mark.parametrize("line", ["{", "[1]", '{"id": "a"}', "3"])
def test_a_batch_with_a_bad_line_is_refused_by_its_number(indexed: Path, elsewhere: Path, line: str) -> None:
    (elsewhere / "q.jsonl").write_text('{"text": "soup"}\n' + line)
    assert "q.jsonl:2" in run("query", "--batch", "q.jsonl", code=2).stderr


def test_similar_takes_an_id(indexed: Path) -> None:
    result = answer("similar", "soup.md")
    assert list(result) == RESULT_KEYS
    assert sorted(found(result)) == ["keys.md", "travel/ticket.md"]


def test_similar_takes_any_file(indexed: Path, elsewhere: Path) -> None:
    (elsewhere / "draft.txt").write_text(PAGES["travel/ticket.md"])
    assert found(answer("similar", "draft.txt"))[0] == "travel/ticket.md"
    assert len(answer("similar", "draft.txt")["hits"]) == 3


def test_similar_does_not_return_the_file_it_is_asked_about(indexed: Path, pages: Path) -> None:
    for path in ("pages/travel/ticket.md", str(pages / "travel" / ".." / "travel" / "ticket.md")):
        assert sorted(found(answer("similar", path))) == ["keys.md", "soup.md"]


def test_similar_takes_standard_input(indexed: Path) -> None:
    result = answer("similar", "-", stdin="Rotate the signing keys every year.\n" * 100)
    assert (result["query"], found(result)[0]) == ("-", "keys.md")


def test_fewer_documents_than_asked_for_all_come_back(indexed: Path) -> None:
    assert len(answer("query", "soup", "-k", "1000")["hits"]) == 3


# show, status, verify, repair


def test_the_json_of_status_has_just_these_keys(indexed: Path, pages: Path, tiny_encoder_dir: Path) -> None:
    status = answer("status")
    assert list(status) == [
        "index", "documents", "passages", "failed", "generation", "encoder", "building", "search", "sizes", "sources",
        "failures", "incomplete",
    ]  # fmt: skip
    assert (status["index"], status["documents"], status["failed"]) == ("indexes/pages", 3, 0)
    encoder = Encoder.load(tiny_encoder_dir)
    assert 0 <= status["encoder"].pop("unknown") <= 1
    assert 0 <= status["encoder"].pop("spelled_out") < 0.1
    assert status["encoder"].pop("advice") is None
    assert status["encoder"] == {"name": encoder.name, "fingerprint": encoder.fingerprint, "dim": encoder.dim}
    assert list(status["sizes"]) == ["database", "snapshot", "encoder"]
    (source,) = status["sources"]
    assert list(source) == ["kind", "location", "documents", "started", "finished", "complete", "gone", "left_out"]
    assert (source["kind"], source["location"], source["complete"]) == ("folder", str(pages), True)


def test_show_prints_the_text_as_it_was_indexed(indexed: Path) -> None:
    assert run("show", "soup.md", "--quiet").stdout == PAGES["soup.md"] + "\n"
    shown = answer("show", "soup.md")
    assert list(shown) == ["id", "title", "metadata", "text", "passages", "stale"]
    assert shown["text"] == PAGES["soup.md"]


def test_verify_and_repair_say_whether_the_index_is_sound(indexed: Path) -> None:
    assert run("verify").stdout == "The index is sound.\n"
    assert answer("verify") == {"sound": True, "problems": [], "warnings": []}
    (indexed / "generations" / "0001" / "index.faiss").write_bytes(b"damaged")
    assert "To rebuild what can be rebuilt: docsim repair" in run("verify", code=1).stdout
    assert run("repair").stdout == "Rebuilt.\n"
    assert answer("repair") == {"sound": True, "problems": [], "lost": []}


# Which index


def test_the_one_index_under_indexes_is_found(indexed: Path) -> None:
    assert answer("status")["index"] == "indexes/pages"


def test_the_variable_and_the_option_name_an_index(
    indexed: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        shutil.copytree(indexed, elsewhere / name)
    monkeypatch.setenv("DOCSIM_INDEX", str(elsewhere / "one"))
    assert answer("status")["index"] == str(elsewhere / "one")
    assert answer("status", "--index", "two")["index"] == "two"


def test_several_indexes_are_listed_when_none_is_chosen(indexed: Path) -> None:
    shutil.copytree(indexed, "indexes/other")
    message = run("query", "soup", code=2).stderr
    assert "indexes/other, indexes/pages" in message
    assert "--index" in message


def test_no_index_at_all_is_said_so() -> None:
    assert "found none" in run("query", "soup", code=2).stderr
    told = run("query", "soup", "--index", "nowhere", code=1).stderr
    assert "found none; create it first. Try: docsim index SOURCE --index nowhere" in told
    assert not Path("nowhere").exists()


# Errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["query"], ["query", ""], ["query", "  "], ["query", "a", "-k", "0"], ["query", "a", "--batch", "no.jsonl"],
        ["similar", "nowhere.md"], ["similar", "x" * 5000], ["similar", "~nobody/x"], ["similar", "a\0b"],
        ["show", "nowhere"], ["index"], ["index", "nowhere"], ["index", "pages", "--no-such-option"], ["nonsense"],
    ],
)  # fmt: skip
def test_a_wrong_request_is_one_sentence_and_exit_code_2(indexed: Path, arguments: list[str]) -> None:
    result = run(*arguments, code=2)
    assert result.stdout == ""
    assert re.search("Error: .+", result.stderr)
    assert "should not happen" not in result.stderr


def test_a_database_that_is_none_is_one_sentence_and_exit_code_1(indexed: Path) -> None:
    (indexed / "index.db").write_bytes(b"nonsense" * 1000)
    for command in (["query", "soup"], ["status"], ["verify"], ["index", "pages"]):
        message = run(*command, code=1).stderr
        assert message.startswith("Error: ")
        assert "is damaged" in message
        assert message.count("\n") == 1


def test_an_index_that_was_never_finished_says_how_to_finish_it(indexed: Path, tiny_encoder_dir: Path) -> None:
    (indexed / "index.db").unlink()
    (indexed / "index.db").touch()
    assert "docsim index" in run("query", "soup", code=1).stderr
    assert answer("index", "pages", "--encoder", str(tiny_encoder_dir))["added"] == 3
    assert found(answer("query", "soup"))


# Output


def test_quiet_prints_results_and_errors_only(indexed: Path, pages: Path) -> None:
    assert run("index", "pages", "--quiet").output == ""
    assert run("verify", "--quiet").output == ""
    assert len(run("query", "soup", "--quiet").stdout.splitlines()) == 3
    (pages / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    result = run("index", "pages", "--quiet", code=3)
    assert result.stdout == ""
    assert "broken.pdf" in result.stderr


def commands() -> list[str]:
    return main.list_commands(click.Context(main))


@pytest.mark.parametrize("command", commands())
def test_the_help_of_every_command_has_an_example(command: str) -> None:
    path = [command]
    loaded = main.get_command(click.Context(main), command)
    if isinstance(loaded, click.Group):
        path = [command, next(iter(loaded.commands))]
    text = run(*path, "--help").stdout
    assert "Example" in text
    assert f"docsim {command}" in text


def test_the_version_is_the_packages(elsewhere: Path) -> None:
    import docsim as package

    assert run("--version").stdout == f"docsim, version {package.__version__}\n"


# The real command, in processes of its own


def test_output_to_a_pipe_has_no_colours_and_no_progress(indexed: Path, pages: Path) -> None:
    (pages / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    for arguments in (["index", "pages"], ["query", "soup"], ["status"], ["show", "soup.md"]):
        done = docsim(*arguments)
        assert b"\x1b" not in done.stdout + done.stderr
        assert b"\r" not in done.stdout + done.stderr
        assert done.stdout


def test_a_reader_that_stops_early_gives_no_traceback(indexed: Path) -> None:
    command = [str(Path(sys.executable).with_name("docsim")), "query", "-", "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, errors = process.communicate(b"soup\n" * 20, timeout=120)
    assert errors == b""


@pytest.mark.parametrize("arguments", [["query"], ["similar"], ["show"]])
def test_an_argument_that_is_no_utf8_gives_no_traceback(indexed: Path, arguments: list[str]) -> None:
    environment = os.environ | {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:strict"}
    done = docsim(*arguments, b"caf\xe9", "--json", env=environment)
    assert b"should not happen" not in done.stderr
    assert b"Traceback" not in done.stderr
    assert done.returncode == (0 if arguments == ["query"] else 2)


def test_a_file_that_names_itself_in_no_utf8_can_be_asked_about(indexed: Path, elsewhere: Path) -> None:
    path = os.fsencode(elsewhere) + b"/caf\xe9.txt"
    try:
        Path(os.fsdecode(path)).write_text("Boil the lentils")
    except OSError:
        pytest.skip("the file system takes no such names")
    done = docsim("similar", path, "--json", env=os.environ | {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:strict"})
    assert done.returncode == 0, done.stderr
    assert found(json.loads(done.stdout))[0] == "soup.md"


def test_an_index_made_by_the_command_is_the_librarys_too(indexed: Path) -> None:
    with Index.open(indexed) as index:
        library = index.search("train ticket", 3)
    assert found(json.loads(docsim("query", "train ticket", "--json").stdout)) == [hit.id for hit in library.hits]
