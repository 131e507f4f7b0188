"""``docsim train`` from the command line to an encoder that finds what it could not find before."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_training
from click.testing import CliRunner, Result

from docsim.cli import main
from docsim.encoding.encoder import Encoder, read_manifest
from docsim.index import Index
from docsim.training.towers.saving import Lineage, save

pytestmark = pytest.mark.training

FAST = ["--steps", "40", "--batch", "32", "--learning-rate", "0.1"]


def docsim(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def facts(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoders") / "toy"
    save(toy_training.parts(), path, name="toy", lineage=Lineage(seed=0))
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpora") / "corpus.jsonl"
    path.write_text("".join(json.dumps({"id": d.id, "text": d.text}) + "\n" for d in toy_training.documents()))
    return path


@pytest.fixture(scope="module")
def trained(untrained: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    path = tmp_path_factory.mktemp("trained")
    arguments = ("--from", untrained, "--corpus", corpus, "--out", path / "ours", "--report", path / "report")
    logs = ("--tensorboard", path / "logs")
    return path, facts(docsim("train", *arguments, *logs, *FAST, "--json", "--seed", "3"))


def topic_found(encoder: Encoder) -> float:
    random = np.random.default_rng(9)
    topics = list(range(toy_training.TOPICS)) * 4
    first, second = (encoder.encode([toy_training.text(topic, kind, random) for topic in topics]) for kind in "ab")
    nearest = (first @ second.T).argmax(axis=1)
    return float(np.mean([topics[n] == topic for n, topic in zip(nearest, topics, strict=True)]))


@pytest.mark.thorough
def test_an_encoder_trained_on_a_corpus_finds_topics_that_it_could_not_find(
    untrained: Path, trained: tuple[Path, dict[str, Any]]
) -> None:
    path, told = trained
    assert topic_found(Encoder.load(untrained)) < 0.3
    assert topic_found(Encoder.load(path / "ours")) > 0.6
    assert told["probe"]["after"] > told["probe"]["before"]
    assert told["fingerprint"] == Encoder.load(path / "ours").fingerprint


def test_the_lineage_names_parent_material_seed_and_metrics(
    untrained: Path, trained: tuple[Path, dict[str, Any]]
) -> None:
    lineage = read_manifest(trained[0] / "ours")["lineage"]
    assert lineage["parent"] == Encoder.load(untrained).fingerprint
    assert lineage["seed"] == 3
    assert len(lineage["material"]) == 64
    assert lineage["metrics"]["probe_after"] == pytest.approx(trained[1]["probe"]["after"], abs=1e-5)


def test_report_logs_and_no_checkpoint_are_left(trained: tuple[Path, dict[str, Any]]) -> None:
    path = trained[0]
    assert {file.name for file in (path / "report").iterdir()} == {
        "report.json", "report.html", "curves.png", "similarities.png", "map.png",
    }  # fmt: skip
    report = json.loads((path / "report" / "report.json").read_text())
    assert report["similarities"]["after"]["auc"] > report["similarities"]["before"]["auc"]
    (log,) = (path / "logs").iterdir()
    assert log.name.startswith("events.out.tfevents.")
    assert log.read_bytes().count(b"probe") == len(report["points"])
    assert sorted(file.name for file in path.iterdir()) == ["logs", "ours", "report"]


@pytest.mark.thorough
def test_the_same_seed_gives_the_same_fingerprint_and_a_trained_encoder_can_be_trained_on(
    untrained: Path, corpus: Path, trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    arguments: list[str | Path] = ["--corpus", corpus, *FAST, "--json", "--seed", "3"]
    again = facts(docsim("train", "--from", untrained, "--out", tmp_path / "again", *arguments))
    assert again["fingerprint"] == trained[1]["fingerprint"]
    further = facts(docsim("train", "--from", tmp_path / "again", "--out", tmp_path / "further", *arguments))
    assert further["probe"]["before"] == pytest.approx(again["probe"]["after"], abs=0.02)  # but for int8


def test_short_documents_are_learned_from_with_the_teacher_unless_its_weight_is_nothing(
    untrained: Path, corpus: Path, trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    arguments: list[str | Path] = ["--corpus", corpus, *FAST, "--json", "--seed", "3", "--from", untrained]
    arguments += ["--teacher", trained[0] / "ours"]
    told = facts(docsim("train", *arguments, "--out", tmp_path / "ours"))
    assert told["teacher"] == read_manifest(tmp_path / "ours")["lineage"]["teacher"] == "ours"
    assert told["fingerprint"] != trained[1]["fingerprint"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".ours.cache", "ours"]
    untaught = facts(docsim("train", *arguments, "--out", tmp_path / "untaught", "--teacher-weight", "0"))
    assert untaught["teacher"] is None
    assert untaught["fingerprint"] == trained[1]["fingerprint"]


def test_an_index_is_trained_on_and_then_answers_with_the_result(untrained: Path, tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", encoder=Encoder.load(untrained)) as index:
        index.sync(toy_training.documents(60))
    result = docsim("train", "--from", untrained, "--index", tmp_path / "index", "--out", tmp_path / "ours", *FAST)
    assert result.exit_code == 0, result.output
    assert "halves found, MRR: 0." in result.stdout
    assert "Use it with: docsim reindex --encoder" in result.stdout
    with Index.create(tmp_path / "new", encoder=Encoder.load(tmp_path / "ours")) as index:
        index.sync(toy_training.documents(60))
        assert len(index.search("a3x1 a3x2 a3x4", k=5).hits) == 5


def test_scored_pairs_on_a_scale_of_0_to_5_are_trained_on(untrained: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    with (tmp_path / "pairs.tsv").open("w", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerow(["score", "sentence1", "sentence2"])
        for n in range(200):
            topic, other = n % 12, (n % 12 + (n % 2) * (1 + n % 7)) % 12
            rows.writerow([5.0 * (topic == other), toy_training.text(topic, "a", random),
                           toy_training.text(other, "b", random)])  # fmt: skip
    pairs = ("--pairs", tmp_path / "pairs.tsv", "--from", untrained, "--out", tmp_path / "ours")
    told = facts(
        docsim("train", *pairs, "--score-range", "0", "5", "--epochs", "20", "--learning-rate", "0.1", "--json")
    )
    assert told["probe"]["name"] == "Spearman"
    assert told["probe"]["after"] > told["probe"]["before"] + 0.2
    refused = docsim("train", *pairs)
    assert refused.exit_code == 1
    assert "give its lowest and highest score as the score range" in refused.output


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--corpus", ".", "--time-limit", "nan"], 2, "'--time-limit': expected a number, got nan"),
        (["--corpus", ".", "--teacher-weight", "1"], 2, "expected --teacher with --teacher-weight; got none"),
        (["--pairs", __file__, "--teacher", "."], 2, "expected --teacher with documents, not with --pairs"),
        (["--pairs", __file__, "--negatives", "bm25"], 2, "expected --negatives with documents, not with --pairs"),
        (["--corpus", "x", "--freeze", "--unfreeze-at", "5"], 2, "expected --unfreeze-at with token vectors that"),
        (["--corpus", "x", "--freeze", "--embedding-rate", "1"], 2, "expected --embedding-rate with token vectors"),
        (["--corpus", "x", "--embedding-rate", "-1"], 2, "--embedding-rate"),
        (["--corpus", "x", "--time-limit", "0"], 2, "--time-limit"),
        (["--corpus", "CORPUS", "--temperature", "nan"], 1, "expected a temperature and a margin above 0; got nan"),
        (
            ["--corpus", "CORPUS", "--matryoshka", "8,999"],
            1,
            "for matryoshka of at most 24, the tower's width; got 999",
        ),
        (["--corpus", "x", "--index", "y"], 2, "expected one of --index, --corpus and --pairs"),
        (["--corpus", "x", "--steps", "5", "--epochs", "5"], 2, "expected --epochs or --steps; got both"),
        (["--corpus", "x", "--score-range", "0", "5"], 2, "expected --pairs with --score-range"),
        (["--corpus", "nowhere"], 2, "expected a folder or a file"),
        (["--corpus", "CORPUS", "--from", "nowhere"], 1, "expected an encoder directory at nowhere"),
        (["--corpus", "CORPUS", "--loss", "cosent"], 1, "documents have no labels"),
        (["--corpus", "CORPUS", "--matryoshka", "8,x"], 1, "expected numbers of components such as"),
        (["--corpus", "CORPUS", "--resume"], 1, "there is none. Start a new one instead"),
        (["--corpus", "SHORT"], 1, "at least 20 documents"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    arguments: list[str], code: int, says: str, untrained: Path, corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "one.txt").write_text("c1 c2 " * 50)
    places = {"CORPUS": str(corpus), "SHORT": str(tmp_path / "one.txt")}
    origin = () if "--from" in arguments else ("--from", untrained)
    result = docsim("train", "--out", tmp_path / "out", *origin, *(places.get(a, a) for a in arguments))
    assert result.exit_code == code, result.output
    assert says in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_place_that_holds_something_else_is_refused_before_training(
    untrained: Path, corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.doc").write_text("mine")
    result = docsim("train", "--from", untrained, "--corpus", corpus, "--out", tmp_path / "out", *FAST)
    assert result.exit_code == 2
    assert "there is something else" in result.stderr
