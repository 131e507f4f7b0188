"""``docsim eval`` and ``eval-pairs`` over a real, small index, whose right answers are exact copies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from docsim.cli.evaluate import evaluate, evaluate_pairs
from docsim.encoding.encoder import Encoder
from docsim.errors import EncoderError, UsageError
from docsim.evaluation.significance import correlate
from docsim.index import Index
from docsim.models import Document

TRAIN = "How to book a train ticket"
KEYS = "Rotate the signing keys every year"
SOUP = "Boil the lentils until they are soft"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    """Make an index of three texts, two of which it holds twice."""
    path = tmp_path_factory.mktemp("eval") / "index"
    texts = {"train": TRAIN, "train copy": TRAIN, "keys": KEYS, "keys copy": KEYS, "soup": SOUP}
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir)) as opened:
        opened.sync([Document(id, text) for id, text in texts.items()])
    return path


def written(folder: Path, name: str, *lines: object) -> str:
    path = folder / name
    path.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines), encoding="utf-8")
    return str(path)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(evaluate, [str(argument) for argument in arguments])


def measured(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def copies(folder: Path) -> str:
    """Write judgements by which each document's copy is relevant to it."""
    return written(folder, "qrels.txt", "train\t0\ttrain copy\t1", "keys\t0\tkeys copy\t1")


def test_documents_find_their_copies_first_and_not_themselves(index: Path, tmp_path: Path) -> None:
    found = measured("--index", index, "--qrels", copies(tmp_path))
    assert found["queries"] == 2
    assert found["metrics"] == {"nDCG@10": 1.0, "RR@10": 1.0, "R@100": 1.0}
    assert found["intervals"] == {"nDCG@10": [1.0, 1.0], "RR@10": [1.0, 1.0], "R@100": [1.0, 1.0]}


def test_a_judgement_of_a_document_for_itself_does_not_count_without_queries(index: Path, tmp_path: Path) -> None:
    qrels = written(tmp_path, "qrels.txt", "soup 0 soup 1", "train 0 train 2", "train\t0\ttrain copy\t1")
    found = measured("--index", index, "--qrels", qrels)
    assert (found["queries"], found["without_relevant"]) == (1, 1)
    assert found["metrics"]["R@100"] == 1.0


def test_texts_are_asked_as_queries(index: Path, tmp_path: Path) -> None:
    qrels = written(tmp_path, "qrels.txt", "1 0 soup 1", "2 0 keys 1", "2\t0\tkeys copy\t1")
    queries = written(tmp_path, "queries.jsonl", {"id": 1, "text": SOUP}, {"id": "2", "text": KEYS})
    found = measured("--index", index, "--qrels", qrels, "--queries", queries)
    assert found["metrics"] == {"nDCG@10": 1.0, "RR@10": 1.0, "R@100": 1.0}


def test_a_text_finds_the_document_of_its_own_id_unless_that_is_excluded(index: Path, tmp_path: Path) -> None:
    others = [f"soup\t0\t{id}\t1" for id in ("train", "train copy", "keys", "keys copy")]
    queries = written(tmp_path, "queries.jsonl", {"id": "soup", "text": SOUP})
    arguments = ("--index", index, "--qrels", written(tmp_path, "qrels.txt", *others), "--queries", queries)
    assert measured(*arguments)["metrics"]["RR@10"] == 0.5
    assert measured(*arguments, "--exclude-self")["metrics"]["RR@10"] == 1.0


def test_cutoffs_are_added(index: Path, tmp_path: Path) -> None:
    found = measured("--index", index, "--qrels", copies(tmp_path), "-k", 5, "-k", 1)
    assert list(found["metrics"]) == [
        *("nDCG@1", "nDCG@5", "nDCG@10"),
        *("RR@1", "RR@5", "RR@10"),
        *("R@1", "R@5", "R@100"),
    ]


def test_queries_that_are_not_indexed_are_counted_and_left_out(index: Path, tmp_path: Path) -> None:
    qrels = written(tmp_path, "qrels.txt", "gone 0 train 1", "train\t0\ttrain copy\t1")
    found = measured("--index", index, "--qrels", qrels)
    assert (found["queries"], found["missing"], found["metrics"]["RR@10"]) == (1, 1, 1.0)


def test_relevant_documents_that_are_not_indexed_are_counted_and_lower_recall(index: Path, tmp_path: Path) -> None:
    qrels = written(tmp_path, "qrels.txt", "train 0 gone 1", "train\t0\ttrain copy\t1")
    found = measured("--index", index, "--qrels", qrels)
    assert (found["relevant_not_indexed"], found["metrics"]["R@100"]) == (1, 0.5)


def test_people_are_told_what_was_left_out(index: Path, tmp_path: Path) -> None:
    qrels = written(tmp_path, "qrels.txt", "gone 0 train 1", "train\t0\ttrain copy\t1", "keys 0 soup 0")
    result = run("--index", index, "--qrels", qrels)
    assert result.stdout.splitlines()[1].split() == ["nDCG@10", "1.0000", "1.0000", "to", "1.0000"]
    assert "1 queries" in result.stdout
    assert [line.split(" ", 1)[0] for line in result.stderr.splitlines()] == ["1", "1"]
    assert "could not be asked" in result.stderr
    assert "no relevant document" in result.stderr


def test_quiet_prints_the_numbers_alone(index: Path, tmp_path: Path) -> None:
    qrels = written(tmp_path, "qrels.txt", "gone 0 train 1", "train\t0\ttrain copy\t1")
    result = run("--index", index, "--qrels", qrels, "--quiet")
    assert len(result.stdout.splitlines()) == 4
    assert result.stderr == ""


def test_judgements_of_queries_that_are_not_indexed_at_all_are_refused(index: Path, tmp_path: Path) -> None:
    qrels = written(tmp_path, "qrels.txt", "1 0 train 1", "2 0 keys 1")
    result = run("--index", index, "--qrels", qrels)
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).endswith("found none of 2")
    assert result.exception.hint == "--queries FILE, if the queries are texts"


def test_judgements_of_queries_without_a_text_at_all_are_refused(index: Path, tmp_path: Path) -> None:
    qrels = written(tmp_path, "qrels.txt", "1 0 train 1")
    queries = written(tmp_path, "queries.jsonl", {"id": "one", "text": TRAIN})
    result = run("--index", index, "--qrels", qrels, "--queries", queries)
    assert isinstance(result.exception, UsageError)
    assert "queries.jsonl, found none of 1" in str(result.exception)


def test_judgements_without_a_relevant_document_are_refused(index: Path, tmp_path: Path) -> None:
    result = run("--index", index, "--qrels", written(tmp_path, "qrels.txt", "train 0 keys 0"))
    assert isinstance(result.exception, UsageError)
    assert "grade 1 or more" in str(result.exception)


def test_the_values_of_each_query_are_written(index: Path, tmp_path: Path) -> None:
    measured("--index", index, "--qrels", copies(tmp_path), "--per-query", tmp_path / "run.json")
    content = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert content["format"] == 1
    assert content["queries"]["keys"] == {"nDCG@10": 1.0, "RR@10": 1.0, "R@100": 1.0}


def test_a_file_for_values_in_a_folder_that_is_not_there_is_refused_before_searching(
    index: Path, tmp_path: Path
) -> None:
    result = run("--index", index, "--qrels", copies(tmp_path), "--per-query", tmp_path / "gone" / "run.json")
    assert isinstance(result.exception, UsageError)
    assert "--per-query" in str(result.exception)


def test_a_run_is_compared_with_another(index: Path, tmp_path: Path) -> None:
    arguments = ("--index", index, "--qrels", copies(tmp_path))
    other = tmp_path / "run.json"
    measured(*arguments, "--per-query", other)
    content = json.loads(other.read_text(encoding="utf-8"))
    content["queries"]["keys"]["RR@10"] = 0.5
    other.write_text(json.dumps(content), encoding="utf-8")
    found = measured(*arguments, "--compare", other)["comparison"]
    assert found["RR@10"]["difference"] == 0.25
    assert found["RR@10"]["interval"] == [0.0, 0.5]
    assert (found["RR@10"]["p"], found["RR@10"]["significant"]) == (1.0, False)
    assert found["nDCG@10"]["difference"] == 0.0


def test_a_comparison_is_shown_to_people(index: Path, tmp_path: Path) -> None:
    arguments = ("--index", index, "--qrels", copies(tmp_path))
    measured(*arguments, "--per-query", tmp_path / "run.json")
    result = run(*arguments, "--compare", tmp_path / "run.json")
    assert "RR@10" in result.stdout
    assert "no significant difference" in result.stdout
    assert "2 queries, 2 of them compared" in result.stdout


def test_a_run_over_other_judgements_is_not_compared(index: Path, tmp_path: Path) -> None:
    measured("--index", index, "--qrels", copies(tmp_path), "--per-query", tmp_path / "run.json")
    other = written(tmp_path, "other.txt", "train\t0\ttrain copy\t2")
    result = run("--index", index, "--qrels", other, "--compare", tmp_path / "run.json")
    assert isinstance(result.exception, UsageError)
    assert "same judgements" in str(result.exception)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2}', '{"format": 1, "judgements": "", "queries": []}'])
def test_a_file_that_is_no_run_is_not_compared(index: Path, tmp_path: Path, content: str) -> None:
    other = written(tmp_path, "run.json", content)
    result = run("--index", index, "--qrels", copies(tmp_path), "--compare", other)
    assert isinstance(result.exception, UsageError)
    assert "a file that --per-query wrote" in str(result.exception)


# Pairs


def pairs(folder: Path) -> str:
    return written(folder, "pairs.tsv", "score\tsentence1\tsentence2", f"5\t{TRAIN}\t{TRAIN}", f"0\t{TRAIN}\t{SOUP}")


def test_pairs_correlate_as_their_cosines_do(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    table = written(
        tmp_path,
        "pairs.csv",
        "text_a,text_b,score",
        *(
            f"{a},{b},{score}"
            for a, b, score in ((TRAIN, TRAIN, 5), (TRAIN, SOUP, 1), (KEYS, SOUP, 2), (KEYS, TRAIN, 0))
        ),
    )
    result = CliRunner().invoke(evaluate_pairs, [str(tiny_encoder_dir), table, "--json"])
    train, keys, soup = Encoder.load(tiny_encoder_dir).encode([TRAIN, KEYS, SOUP])
    cosines = np.array([train @ train, train @ soup, keys @ soup, keys @ train], dtype=np.float64)
    expected = correlate(cosines, np.array([5.0, 1.0, 2.0, 0.0]))
    found = json.loads(result.stdout)
    assert found["pairs"] == 4
    assert found["spearman"] == pytest.approx(expected.spearman.value, abs=1e-5)
    assert found["pearson"] == pytest.approx(expected.pearson.value, abs=1e-5)
    assert found["intervals"]["pearson"] == pytest.approx([expected.pearson.low, expected.pearson.high], abs=1e-3)


def test_equal_texts_are_more_alike_than_others(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    result = CliRunner().invoke(evaluate_pairs, [str(tiny_encoder_dir), pairs(tmp_path)])
    assert result.stdout.splitlines()[1].split()[:2] == ["spearman", "1.0000"]
    assert result.stdout.splitlines()[-1].startswith("2 pairs, encoder ")


def test_scores_outside_the_range_are_refused(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    arguments = [str(tiny_encoder_dir), pairs(tmp_path), "--score-range", "0", "1"]
    result = CliRunner().invoke(evaluate_pairs, arguments)
    assert isinstance(result.exception, UsageError)
    assert "from 0 to 1" in str(result.exception)


def test_an_encoder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(evaluate_pairs, [str(tmp_path / "gone"), pairs(tmp_path)])
    assert isinstance(result.exception, EncoderError)


def test_the_module_loads_neither_scipy_nor_ir_measures() -> None:
    code = "import sys, docsim.cli.evaluate; print(sorted({'scipy', 'ir_measures'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
