"""The options of ``query`` and ``similar`` that choose hits; the commands themselves are in ``test_cli.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from docsim.cli import main

RECORDS = [
    {"id": "soup", "text": "Boil the lentils until the soup is soft.", "team": "kitchen"},
    {"id": "stew", "text": "Boil the lentils until the soup is soft and salt it.", "team": "kitchen"},
    {"id": "keys", "text": "Rotate SIGNING_KEYS every year after error E1234.", "team": "sre"},
    {"id": "ticket", "text": "Book a train ticket for the team.", "team": "office"},
]


@pytest.fixture(autouse=True)
def indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_encoder_dir: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOCSIM_INDEX", raising=False)
    Path("notes.jsonl").write_text("\n".join(map(json.dumps, RECORDS)))
    run("index", "notes.jsonl", "--encoder", str(tiny_encoder_dir))


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return result.output


def found(*arguments: str) -> list[str]:
    return [hit["id"] for hit in answer(*arguments)["hits"]]


def answer(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_the_answer_says_which_mode_ranked_it(mode: str) -> None:
    result = answer("query", "boil lentils", "--mode", mode)
    assert result["mode"] == mode
    assert {hit["id"] for hit in result["hits"][:2]} == {"soup", "stew"}


def test_lexical_finds_codes_and_identifiers_and_nothing_else() -> None:
    assert found("query", "E1234", "--mode", "lexical") == ["keys"]
    assert found("query", "signingKeys", "--mode", "lexical") == ["keys"]
    assert found("query", "giraffe", "--mode", "lexical") == []
    assert found("similar", "soup", "--mode", "lexical", "--min-similarity", "0.9") == ["stew"]


def test_operators_and_corrections_are_said_and_can_be_switched_off() -> None:
    told = run("query", 'lentlis "the soup" -salt')
    assert "Showing results for lentils instead of lentlis" in told
    assert 'Read as operators: "the soup" -salt' in told
    assert [line.split("\t")[2] for line in told.splitlines() if "\t" in line] == ["soup"]
    found = answer("query", 'lentlis "the soup" -salt')
    assert found["corrections"] == [{"given": "lentlis", "used": "lentils"}]
    assert found["operators"] == ['"the soup"', "-salt"]
    best = found["hits"][0]["passages"][0]
    assert [best["text"][start:end] for start, end in best["matches"]] == ["lentils", "the soup"]
    plain = answer("query", 'lentlis "the soup" -salt', "--plain")
    assert (plain["corrections"], plain["operators"], len(plain["hits"])) == ([], [], 4)


def test_an_offset_gives_the_next_page() -> None:
    every = found("query", "boil lentils")
    page = answer("query", "boil lentils", "-k", "2", "--offset", "2")
    assert [hit["id"] for hit in page["hits"]] == every[2:4]
    assert [hit["rank"] for hit in page["hits"]] == [3, 4]


def test_only_the_best_of_a_group_comes_back() -> None:
    best, *_ = found("query", "boil lentils")
    assert found("query", "boil lentils", "--group-by", "team")[0] == best
    assert len(found("query", "boil lentils", "--group-by", "team")) == 3


def test_diversity_puts_back_what_is_alike() -> None:
    assert set(found("similar", "notes.jsonl", "--diversity", "0.9")) == {"soup", "stew", "keys", "ticket"}
    assert set(found("query", "boil lentils")[:2]) == {"soup", "stew"}
    assert set(found("query", "boil lentils", "--diversity", "0.9")[:2]) != {"soup", "stew"}


def test_a_pipe_gets_one_line_a_hit_whatever_the_title() -> None:
    Path("odd.jsonl").write_text(json.dumps({"id": "odd", "title": "Salt\tand\npepper", "text": "Pepper the soup."}))
    run("index", "odd.jsonl", "--index", "indexes/notes")
    (line,) = run("query", "pepper", "-k", "1").splitlines()
    assert line.split("\t")[2:] == ["odd", "Salt and pepper"]


def test_an_id_never_breaks_a_line_apart() -> None:
    Path("odd.jsonl").write_text(json.dumps({"id": "a\tb\nc", "text": "Pepper the soup."}))
    run("index", "odd.jsonl", "--index", "indexes/notes")
    (line,) = run("query", "pepper", "-k", "1").splitlines()
    assert line.split("\t")[2] == "a\\tb\\nc"


def test_each_of_several_questions_is_named_on_its_lines() -> None:
    Path("asked.jsonl").write_bytes(b'\xef\xbb\xbf{"id": 7, "text": "lentils"}\n\n{"text": "signing keys"}\n')
    lines = [line.split("\t") for line in run("query", "--batch", "asked.jsonl", "-k", "2").splitlines()]
    assert [line[:2] for line in lines] == [["7", "1"], ["7", "2"], ["2", "1"], ["2", "2"]]
    assert lines[2][3] == "keys"


@pytest.mark.parametrize(
    "line",
    [b'{"text": null}', b'{"text": " "}', b'{"text": {"a": 1}}', b'{"id": [1], "text": "x"}', b"[]", b"\xff", b"7"],
)
def test_a_line_that_is_no_question_is_named(line: bytes) -> None:
    Path("asked.jsonl").write_bytes(b'{"text": "lentils"}\n' + line)
    assert "something else at asked.jsonl:2" in run("query", "--batch", "asked.jsonl", code=2)


def test_equal_numbers_are_one_group_however_they_are_written() -> None:
    records = [{"id": f"n{i}", "text": "Pepper.", "n": n} for i, n in enumerate((1, 1.0, 2, "1", True))]
    Path("numbers.jsonl").write_text("\n".join(map(json.dumps, records)))
    run("index", "numbers.jsonl", "--index", "indexes/notes")
    groups = found("query", "pepper", "--group-by", "n", "--where", "n exists")
    assert len(groups) == 4
    assert len({"n0", "n1"} & set(groups)) == 1


def test_a_file_without_text_is_refused() -> None:
    Path("empty.md").write_text(" \n")
    assert "expected a text in empty.md, found none" in run("similar", "empty.md", code=2)


def test_that_nothing_was_found_is_said_beside_a_pipe() -> None:
    result = CliRunner().invoke(main, ["query", "soup", "--where", "team = 'x'"])
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "Nothing found: no document qualifies.\n"


def test_that_an_index_is_empty_is_said() -> None:
    Path("empty").mkdir()
    run("index", "empty", "--index", "indexes/none", code=3)
    assert run("query", "soup", "--index", "indexes/none") == "Nothing found: the index holds no documents.\n"


def test_a_field_that_no_document_has_is_named() -> None:
    where = "taem = 'sre' and not (a.b = 1 or team = 'x')"
    assert run("query", "soup", "--where", where) == "Nothing found: no document has a field taem or a.b.\n"


def test_each_hit_has_a_percentile() -> None:
    hits = answer("query", "boil lentils")["hits"]
    assert all(0 <= hit["percentile"] <= 100 for hit in hits)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--mode", "fuzzy"),
        ("--offset", "-1"),
        ("--diversity", "2"),
        ("--diversity", "nan"),
        ("--min-similarity", "7"),
        ("--group-by", ""),
        ("-k", str(10**20)),
        ("--offset", str(2**63)),
    ],
)
def test_wrong_values_are_refused_with_exit_code_2(wrong: tuple[str, str]) -> None:
    assert "Error" in run("query", "soup", *wrong, code=2)


@pytest.mark.parametrize(("mode", "expected"), [("lexical", 0.0), ("hybrid", 1.0)])
def test_eval_measures_the_mode_it_is_told(mode: str, expected: float) -> None:
    Path("qrels.txt").write_text("q 0 ticket 1\n")
    Path("queries.jsonl").write_text(json.dumps({"id": "q", "text": "giraffe"}))
    report = answer("eval", "--qrels", "qrels.txt", "--queries", "queries.jsonl", "--mode", mode)
    assert report["mode"] == mode
    assert report["metrics"]["R@100"] == expected
