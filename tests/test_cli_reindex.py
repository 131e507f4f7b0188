"""Re-indexing from the command line: what a team does every month, on the sample handbook."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import toy_training
from click.testing import CliRunner, Result
from encoder_variants import reading_fewer_tokens, with_nan, with_other_dim

from docsim.cli import main
from docsim.encoding.encoder import Encoder, read_manifest
from docsim.errors import UsageError
from docsim.index import Index
from docsim.reindex import reindexing

CORPUS = Path(__file__).parent.parent / "corpus"
PAGES = CORPUS / "handbook" / "people"


def docsim(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    assert "Traceback" not in result.output
    return result


def answer(*arguments: str | Path, code: int = 0) -> Any:
    return json.loads(docsim(*arguments, "--json", code=code).stdout)


@pytest.fixture(scope="module")
def handbook(tiny_encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of the sample handbook's pages, indexed with the tiny encoder."""
    path = tmp_path_factory.mktemp("indexes") / "handbook"
    docsim("index", PAGES, "--index", path, "--encoder", tiny_encoder_dir)
    return path


@pytest.fixture
def index(handbook: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(handbook, tmp_path / "handbook"))


@pytest.fixture(scope="module")
def worse(tiny_encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_other_dim(tiny_encoder_dir, tmp_path_factory.mktemp("encoders") / "worse", 2)


@pytest.fixture(scope="module")
def same(tiny_encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reading_fewer_tokens(tiny_encoder_dir, tmp_path_factory.mktemp("encoders") / "same", 500)


@pytest.mark.thorough
def test_index_train_reindex_roll_back_prune(tmp_path: Path) -> None:
    index, encoder = tmp_path / "handbook", tmp_path / "trained"
    judged = ("--qrels", CORPUS / "related.qrels.txt")
    docsim("index", CORPUS / "handbook", "--index", index)
    docsim("train", "--index", index, "--out", encoder, "--steps", "40")
    told = answer("reindex", "--index", index, "--encoder", encoder, *judged)
    assert told["published"]
    metric = told["gate"]["quality"]["metrics"]["nDCG@10"]
    assert metric["new"] > metric["old"]
    assert metric["new"] == answer("eval", "--index", index, *judged)["metrics"]["nDCG@10"]
    assert (Path(told["report"]) / "report.html").is_file()
    assert answer("query", "stolen phone", "--index", index)["generation"] == 2
    listed = answer("generations", "--index", index)
    assert [one["state"] for one in listed] == ["retired", "live"]
    assert listed[1]["metrics"]["nDCG@10"] == metric["new"]
    docsim("rollback", "--index", index)
    assert metric["old"] == answer("eval", "--index", index, *judged)["metrics"]["nDCG@10"]
    pruned = answer("prune", "--keep", "1", "--index", index)
    assert pruned["generations"] == [2]
    assert pruned["bytes"] > Path(encoder / "tower.keras").stat().st_size
    docsim("verify", "--index", index)


@pytest.mark.thorough
def test_the_way_back_that_is_told_leads_to_the_generation_that_was_live(index: Path, worse: Path, same: Path) -> None:
    docsim("reindex", "--index", index, "--encoder", worse, "--force")
    docsim("rollback", "--index", index)
    told = docsim("reindex", "--index", index, "--encoder", same, "--force").stdout
    command = told.split("Back to generation 1 with: docsim ")[1].split()
    assert answer(*command)["generation"] == 1


@pytest.fixture
def topics(tmp_path: Path) -> Path:
    """A file of documents with topics, and beside it, as ``start``, an encoder that knows nothing of them."""
    from docsim.training.towers.saving import Lineage, save

    save(toy_training.parts(), tmp_path / "start", name="start", lineage=Lineage(seed=0))
    random = np.random.default_rng(0)
    texts = [[toy_training.text(n % 12, kind, random, length=30) for kind in "ab"] for n in range(150)]
    lines = [json.dumps({"id": f"d{n}", "text": " ".join(halves)}) for n, halves in enumerate(texts)]
    path = tmp_path / "topics.jsonl"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.thorough
def test_adapting_starts_from_the_same_encoder_each_time_and_trains_nothing_twice(topics: Path) -> None:
    index, start = topics.with_name("index"), topics.with_name("start")
    docsim("index", topics, "--index", index, "--encoder", start)
    # Forced, as documents of one topic are alike: 15 questions made from them do not tell which of them is meant.
    first = docsim("adapt", "--index", index, "--force", "--ask", "a1x1 a1x2").output
    assert "on this index's documents" in first
    assert "made from documents unseen in training" in first
    assert "Generation 2 is live" in first
    assert "before" in first.split("a1x1 a1x2")[1]
    again = docsim("adapt", "--index", index).output
    assert "Generation 2 is adapted to exactly these documents already." in again
    assert len(answer("generations", "--index", index)) == 2
    assert not (index / "adapting").exists()
    with topics.open("a") as lines:
        lines.write("\n" + json.dumps({"id": "new", "text": "a3x1 b3x2 " * 30}))
    docsim("index", topics, "--index", index)
    told = answer("adapt", "--index", index, "--force")
    assert (told["generation"], told["published"]) == (3, True)
    kept = [Encoder.load(index / "generations" / number / "base") for number in ("0002", "0003")]
    assert {one.fingerprint for one in kept} == {Encoder.load(start).fingerprint}


@pytest.mark.thorough
@pytest.mark.training
def test_an_encoder_that_learned_nothing_is_not_published(topics: Path) -> None:
    index, start = topics.with_name("index"), topics.with_name("start")
    docsim("index", topics, "--index", index, "--encoder", start)
    hasty = ("adapt", "--index", index, "--force", "--time-limit", "0.000001")  # too little time for a step
    told = docsim(*hasty).stdout
    assert "Training on these documents found nothing better than the start, so nothing is published" in told
    assert "generation 1 goes on answering" in told
    assert "is live" not in told
    assert [one["state"] for one in answer("generations", "--index", index)] == ["live"]
    assert not (index / "adapting").exists()
    again = docsim(*hasty).stdout
    assert "Trained" not in again
    assert "found nothing better than the start before" in again
    found = answer(*hasty)
    assert (found["generation"], found["previous"], found["embedded"]) == (1, 1, 0)
    assert "nothing is published" in found["unchanged"]
    assert "Trained" in docsim("adapt", "--index", index, "--force").stdout  # other options are tried
    assert answer("query", "a1x1", "--index", index)["generation"] == 2
    assert "nothing is published; generation 2 goes on" in docsim(*hasty).stdout


@pytest.mark.thorough
def test_a_teacher_is_learned_from_and_without_it_the_adaptation_is_another(topics: Path) -> None:
    index, start = topics.with_name("index"), topics.with_name("start")
    docsim("index", topics, "--index", index, "--encoder", start)
    arguments = ("adapt", "--index", index, "--force", "--time-limit", "4")
    refused = docsim(*arguments, "--teacher-weight", "1", code=2)
    assert "expected --teacher with --teacher-weight; got none" in refused.stderr
    taught, generation = (*arguments, "--teacher", start), index / "generations"
    assert "Trained" in docsim(*taught).output
    assert read_manifest(generation / "0002" / "encoder")["lineage"]["teacher"] == Encoder.load(start).name
    assert "Trained" not in docsim(*taught).output
    assert "Trained" in docsim(*taught, "--teacher-weight", "2").output
    assert "Trained" in docsim(*arguments).output
    assert read_manifest(generation / "0004" / "encoder")["lineage"]["teacher"] is None


def test_what_did_not_pass_exits_with_4_and_names_the_command_that_publishes_it(index: Path, worse: Path) -> None:
    result = docsim("reindex", "--index", index, "--encoder", worse, code=4)
    assert "NOT PASSED" in result.stdout
    assert "Generation 2 was not published; 1 goes on answering." in result.stderr
    assert f"docsim reindex --index {index} --force" in result.stderr
    assert (
        f"It did not pass; publish it with: docsim reindex --index {index} --force"
        in docsim("reindex", "--index", index, "--status").output
    )
    assert answer("status", "--index", index)["building"]["passed"] is False
    told = "building    generation 2 with worse, 22 of 22 documents, did not pass"
    assert told in docsim("status", "--index", index).output
    assert answer("query", "keys", "--index", index)["generation"] == 1
    with sqlite3.connect(index / "index.db") as database:
        database.execute("UPDATE verdicts SET summary = json_set(summary, '$.sound', json('false'))")
    unsound = docsim("reindex", "--index", index, "--status").output
    assert "It is not sound and cannot be published; drop it with: " in unsound
    assert "--force" not in unsound
    docsim("reindex", "--index", index, "--force")
    assert answer("query", "keys", "--index", index)["generation"] == 2


def test_json_tells_of_what_did_not_pass(index: Path, worse: Path) -> None:
    told = answer("reindex", "--index", index, "--encoder", worse, code=4)
    assert (told["generation"], told["previous"], told["published"]) == (2, 1, False)
    assert told["gate"]["passed"] is False
    assert 0 < len(told["gate"]["lost"]) <= 5
    assert all(one["nDCG@10"][0] > one["nDCG@10"][1] for one in told["gate"]["lost"])


def test_a_threshold_is_mapped(index: Path, same: Path) -> None:
    told = answer("reindex", "--index", index, "--encoder", same, "--threshold", "0.7")
    assert told["gate"]["threshold"]["old"] == 0.7
    assert told["gate"]["threshold"]["new"] == pytest.approx(0.7, abs=0.02)


def test_an_unfinished_reindex_is_told_of_continued_and_forgotten(index: Path, same: Path) -> None:

    def stop(_: int) -> None:
        raise UsageError("stopped")

    progress = SimpleNamespace(say=print, begin=print, measure=print, advance=stop)
    with Index.open(index) as opened:
        opened.batch = 5_000
        with pytest.raises(UsageError, match="stopped"):
            reindexing.reindex(opened, Encoder.load(same), progress=progress)
    told = answer("reindex", "--status", "--index", index)
    assert 0 < told["building"]["documents"] < told["documents"] == 22
    assert told["running"] is False
    assert f"continue with: docsim reindex --index {index}" in docsim("reindex", "--status", "--index", index).output
    assert docsim("reindex", "--abort", "--index", index).output == "Generation 2 was dropped.\n"
    assert docsim("reindex", "--abort", "--index", index).output == "No re-index is unfinished.\n"
    assert docsim("reindex", "--status", "--index", index).output == "No re-index is unfinished.\n"
    docsim("verify", "--index", index)


def test_while_another_process_is_at_it_status_says_so_and_a_second_is_refused(index: Path, same: Path) -> None:
    with Index.open(index) as opened, opened.engine.rebuilder(wait=False):
        assert answer("reindex", "--status", "--index", index)["running"] is True
        result = docsim("reindex", "--encoder", same, "--index", index, code=1)
    assert "another process is re-indexing the index" in result.stderr


def test_wrong_usage_exits_with_2(index: Path, same: Path) -> None:
    for arguments, told in (
        ((), "as no re-index is unfinished. Try: docsim reindex --encoder DIR"),
        (("--encoder", same, "--abort"), "expected one of --encoder or --dim, --status and --abort"),
        (("--encoder", same, "--queries", CORPUS / "queries.jsonl"), "expected --qrels with --queries"),
    ):
        assert told in docsim("reindex", "--index", index, *arguments, code=2).stderr
    assert "found none" in docsim("rollback", "--index", index, code=2).stderr


def test_an_encoder_that_gives_nan_is_one_clear_error(index: Path, tiny_encoder_dir: Path, tmp_path: Path) -> None:
    broken = with_nan(tiny_encoder_dir, tmp_path / "broken", token=40)  # a letter
    result = docsim("reindex", "--index", index, "--encoder", broken, "--force", code=1)
    assert "expected unit vectors from the encoder broken" in result.stderr
    assert answer("query", "keys", "--index", index)["generation"] == 1


def test_another_encoder_is_refused_with_the_command_that_changes_to_it(index: Path, same: Path) -> None:
    result = docsim("index", PAGES, "--index", index, "--encoder", same, code=1)
    assert f"docsim reindex --index {index} --encoder {same}" in result.stderr


def test_quiet_says_nothing_when_all_is_well(index: Path, same: Path) -> None:
    for arguments in (("reindex", "--encoder", same), ("rollback",), ("prune", "--keep", "1")):
        result = docsim(*arguments, "--index", index, "--quiet")
        assert (result.stdout, result.stderr) == ("", "")


def test_the_jobs_load_neither_keras_nor_scipy_nor_matplotlib(index: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys\nfrom docsim import Index\nfrom docsim.jobs import adapt, reindex, sync, train\n"
        "with Index.open(sys.argv[1]) as index: reindex.prune(index, keep=1)\n"
        "print([name for name in ('keras', 'tensorflow', 'scipy', 'matplotlib', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(index)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    with Index.open(index) as opened:
        assert opened.generation().number == 1
