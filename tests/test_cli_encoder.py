"""``docsim encoder``: encoders from word vectors with cosines worked out by hand, shown and compared."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from word_files import BUCKETS, bucket, fasttext, glove

from docsim.cli.encoder import encoder as encoder_commands
from docsim.encoding.encoder import Encoder
from docsim.errors import EncoderError, TrainingError, UsageError
from docsim.index import Index
from docsim.models import Document

needs_keras = pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="Keras is not installed")

VECTORS: dict[str | bytes, list[float]] = {
    "the": [1.0, 1.0, 0.0],
    "cat": [1.0, 0.0, 0.0],
    "dog": [0.0, 2.0, 0.0],
    "co-founder": [0.0, -1.0, 0.0],
}
CORPUS = ["The cat.", "A dog and a dog"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(encoder_commands, [str(argument) for argument in arguments])


def found(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    content = json.loads(result.stdout)
    assert isinstance(content, dict)
    return content


def file(folder: Path, content: bytes) -> Path:
    path = folder / "vectors"
    path.write_bytes(content)
    return path


def rows(path: Path, *texts: str) -> NDArray[np.float32]:
    return Encoder.load(path).encode(texts)


def cosine(path: Path, a: str, b: str) -> float:
    first, second = rows(path, a, b)
    return float(first @ second)


@pytest.fixture(scope="module")
def average(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("average")
    assert run("from-vectors", file(folder, glove(VECTORS)), "--out", folder / "animals").exit_code == 0
    return folder / "animals"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    path = tmp_path_factory.mktemp("encoders") / "index"
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir)) as opened:
        opened.sync([Document(str(n), text) for n, text in enumerate([*CORPUS, "the house", "the garden"])])
    return path


# from-vectors


@needs_keras
def test_a_word_is_embedded_as_its_vector_scaled_to_length_one(average: Path) -> None:
    np.testing.assert_allclose(rows(average, "cat", "the"), [[1, 0, 0], [0.5**0.5, 0.5**0.5, 0]], atol=1e-6)


@needs_keras
def test_a_texts_embedding_is_the_direction_of_the_mean_of_its_words(average: Path) -> None:
    # (1, 0, 0) + (0, 2, 0) against (1, 0, 0), and against (1, 1, 0).
    assert cosine(average, "cat dog", "cat") == pytest.approx(1 / math.sqrt(5), abs=1e-6)
    assert cosine(average, "cat dog", "the") == pytest.approx(3 / math.sqrt(10), abs=1e-6)


@needs_keras
def test_case_and_punctuation_make_no_difference(average: Path) -> None:
    assert cosine(average, "The CAT (dog)!", "the cat dog") == pytest.approx(1.0, abs=1e-6)


@needs_keras
def test_words_with_marks_inside_have_their_own_vectors(average: Path) -> None:
    np.testing.assert_allclose(rows(average, "a co-founder."), [[0, -1, 0]], atol=1e-5)


@needs_keras
def test_unknown_words_count_for_nothing(average: Path) -> None:
    assert cosine(average, "cat zebra and zebra", "cat") == pytest.approx(1.0, abs=1e-6)


@needs_keras
@pytest.mark.parametrize("text", ["zebra", "", "?!"])
def test_a_text_without_a_known_word_is_like_no_other(average: Path, text: str) -> None:
    np.testing.assert_allclose(rows(average, text), [[0, 0, 1]], atol=1e-6)


@needs_keras
def test_sif_weighs_words_by_their_rank(tmp_path: Path) -> None:
    vectors: dict[str | bytes, list[float]] = {"a": [1.0, 0.0], "b": [0.0, 1.0]}
    run("from-vectors", file(tmp_path, glove(vectors)), "--out", tmp_path / "sif", "--pooling", "sif")
    # By Zipf's law p is 2/3 and 1/3; the weights are 3e-4 / (3e-4 + p).
    weights = [3e-4 / (3e-4 + 2 / 3), 3e-4 / (3e-4 + 1 / 3)]
    expected = np.array(weights) / math.hypot(*weights)
    np.testing.assert_allclose(rows(tmp_path / "sif", "a b")[0], expected, atol=1e-6)


@needs_keras
def test_a_vocabulary_size_takes_the_first_words(tmp_path: Path) -> None:
    arguments = ("from-vectors", file(tmp_path, glove(VECTORS)), "--out", tmp_path / "two", "--vocab-size", 2)
    assert found(*arguments)["vocabulary"] == 2
    assert cosine(tmp_path / "two", "cat dog", "cat") == pytest.approx(1.0, abs=1e-6)


@needs_keras
def test_the_result_names_the_encoder_and_what_was_read(tmp_path: Path) -> None:
    content = found("from-vectors", file(tmp_path, glove(VECTORS)), "--out", tmp_path / "animals", "--name", "zoo")
    made = Encoder.load(tmp_path / "animals")
    assert content == {
        "name": "zoo",
        "path": str(tmp_path / "animals"),
        "dim": 3,
        "max_tokens": 32_768,
        "fingerprint": made.fingerprint,
        "format": "GloVe text",
        "skipped": 0,
        "vocabulary": 4,
    }


@needs_keras
def test_the_same_file_gives_the_same_fingerprint(average: Path, tmp_path: Path) -> None:
    run("from-vectors", file(tmp_path, glove(VECTORS)), "--out", tmp_path / "again")
    assert Encoder.load(tmp_path / "again").fingerprint == Encoder.load(average).fingerprint


@needs_keras
@pytest.mark.parametrize("kind", ["text", "jsonl", "folder", "index"])
def test_coverage_is_that_of_the_corpus(tmp_path: Path, tiny_encoder_dir: Path, kind: str) -> None:
    corpus = tmp_path / {"text": "texts.txt", "jsonl": "texts.jsonl"}.get(kind, kind)
    if kind == "text":
        corpus.write_text("\n".join(CORPUS))
    elif kind == "jsonl":
        corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in CORPUS))
    elif kind == "folder":
        corpus.mkdir()
        for number, text in enumerate(CORPUS):
            (corpus / f"{number}.txt").write_text(text)
    else:
        with Index.create(corpus, encoder=Encoder.load(tiny_encoder_dir)) as opened:
            opened.sync([Document(str(n), text) for n, text in enumerate(CORPUS)])
    content = found("from-vectors", file(tmp_path, glove(VECTORS)), "--out", tmp_path / "out", "--corpus", corpus)
    assert content["coverage"] == {
        "tokens": 7,
        "known_tokens": 4 / 7,
        "words": 5,
        "known_words": 3 / 5,
        "most_frequent_unknown": [{"word": "a", "count": 2}, {"word": "and", "count": 1}],
        "from_subwords": 0,
    }


@needs_keras
def test_the_corpus_unknown_words_get_vectors_from_subwords(tmp_path: Path) -> None:
    ngrams = [[0.0, 0.0, 0.0]] * BUCKETS
    ngrams[bucket("<an")] = [2.0, 0.0, 0.0]
    corpus = tmp_path / "texts.txt"
    corpus.write_text("The cat and")
    vectors: dict[str | bytes, list[float]] = {"the": [0.0, 3.0, 0.0], "xyz": [0.0, 0.0, 1.0]}
    arguments = ("from-vectors", file(tmp_path, fasttext(vectors, ngrams)), "--out", tmp_path / "out")
    content = found(*arguments, "--corpus", corpus)
    assert content["coverage"]["from_subwords"] >= 1
    assert rows(tmp_path / "out", "and")[0].tolist() == pytest.approx([1.0, 0.0, 0.0], abs=1e-6)
    assert "and" not in [one["word"] for one in content["coverage"]["most_frequent_unknown"]]


@needs_keras
def test_people_are_told_of_vocabulary_and_coverage(tmp_path: Path) -> None:
    corpus = tmp_path / "texts.txt"
    corpus.write_text("\n".join(CORPUS))
    vectors = file(tmp_path, glove({**VECTORS, b"\xe9": [1.0, 1.0, 1.0]}))
    result = run("from-vectors", vectors, "--out", tmp_path / "out", "--corpus", corpus)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Encoder out: 3 components, fingerprint ")
    assert lines[1:] == [
        "vocabulary  4 words, read as GloVe text",
        "corpus      57.1% of 7 words are known",
        "            60.0% of 5 distinct words",
        "unknown     a (2), and (1)",
    ]
    assert result.stderr.splitlines()[-1] == "skipped 1 of the file's words, which are unusable"


@needs_keras
def test_quiet_prints_nothing(tmp_path: Path) -> None:
    result = run("from-vectors", file(tmp_path, glove(VECTORS)), "--out", tmp_path / "out", "--quiet")
    assert (result.exit_code, result.stdout) == (0, "")


@needs_keras
def test_a_file_without_vectors_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    result = run("from-vectors", file(tmp_path, b"just some text\n"), "--out", tmp_path / "out")
    assert isinstance(result.exception, TrainingError)
    assert not (tmp_path / "out").exists()


@needs_keras
def test_vectors_of_zeros_are_refused(tmp_path: Path) -> None:
    result = run("from-vectors", file(tmp_path, glove({"a": [0.0, 0.0]})), "--out", tmp_path / "out")
    assert isinstance(result.exception, TrainingError)
    assert "only zeros" in str(result.exception)


@needs_keras
def test_an_index_can_be_made_with_the_encoder(average: Path, tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", encoder=Encoder.load(average)) as opened:
        opened.sync([Document("cats", "cat cat"), Document("dogs", "the dog")])
        hits = opened.search("a dog").hits
    assert [hit.id for hit in hits] == ["dogs", "cats"]
    assert hits[0].similarity == pytest.approx(3 / math.sqrt(10), abs=1e-3)


# show


def test_show_tells_what_the_manifest_and_the_files_say(tiny_encoder_dir: Path) -> None:
    content = found("show", tiny_encoder_dir)
    manifest = json.loads((tiny_encoder_dir / "manifest.json").read_text())
    for key in ("name", "kind", "format", "dim", "max_tokens", "fingerprint", "preprocessing", "lineage"):
        assert content[key] == manifest[key]
    assert content["sizes"] == {name: (tiny_encoder_dir / name).stat().st_size for name in manifest["files"]}
    entries = json.loads((tiny_encoder_dir / "tokenizer.json").read_text())["model"]["vocab"]
    assert content["vocabulary"] == len(entries)


def test_show_prints_the_whole_fingerprint(tiny_encoder_dir: Path) -> None:
    result = run("show", tiny_encoder_dir)
    assert f"fingerprint  {Encoder.load(tiny_encoder_dir).fingerprint}" in result.stdout
    assert "seed         0" in result.stdout


def test_show_knows_the_default_encoder() -> None:
    assert found("show", "default")["fingerprint"] == Encoder.default().fingerprint


def test_show_refuses_a_damaged_encoder(tiny_encoder_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_encoder_dir, tmp_path / "damaged")
    with (tmp_path / "damaged" / "tower.onnx").open("ab") as stream:
        stream.write(b"x")
    assert isinstance(run("show", tmp_path / "damaged").exception, EncoderError)


# compare


def test_an_encoder_agrees_with_itself(index: Path, tiny_encoder_dir: Path) -> None:
    content = found("compare", tiny_encoder_dir, tiny_encoder_dir, "--index", index)
    agreement = content["agreement"]
    assert (agreement["overlap"], agreement["same_first"], agreement["queries"]) == (1.0, 1.0, 4)
    assert agreement["cosine"] == pytest.approx(1.0, abs=1e-5)
    assert (content["documents"], content["documents_in_index"], content["passages"]) == (4, 4, 4)
    assert content["a"] == content["b"]


def test_encoders_of_different_dimension_are_compared_by_their_hits(index: Path, tiny_encoder_dir: Path) -> None:
    content = found("compare", tiny_encoder_dir, "default", "--index", index, "-k", 1, "--sample", 2)
    assert content["agreement"]["cosine"] is None
    assert (content["agreement"]["k"], content["agreement"]["queries"]) == (1, 2)
    assert content["agreement"]["overlap"] in (0.0, 0.5, 1.0)


def test_judgements_add_both_evaluations(index: Path, tiny_encoder_dir: Path, tmp_path: Path) -> None:
    qrels, queries = tmp_path / "qrels.txt", tmp_path / "queries.jsonl"
    qrels.write_text("q 0 2 1\n")
    queries.write_text('{"id": "q", "text": "the house"}\n')
    arguments = ("--index", index, "--qrels", qrels, "--queries", queries)
    content = found("compare", tiny_encoder_dir, "default", *arguments)
    metric = content["metrics"]["RR@10"]
    assert content["queries"] == 1
    assert (metric["a"], metric["b"], metric["difference"], metric["significant"]) == (1.0, 1.0, 0.0, False)


def test_documents_are_the_queries_of_judgements_alone(index: Path, tiny_encoder_dir: Path, tmp_path: Path) -> None:
    qrels = tmp_path / "qrels.txt"
    qrels.write_text("2 0 3 1\n2 0 2 1\n")
    result = run("compare", tiny_encoder_dir, tiny_encoder_dir, "--index", index, "--qrels", qrels)
    line = next(line for line in result.stdout.splitlines() if line.startswith("R@100"))
    assert line.split()[:4] == ["R@100", "1.0000", "1.0000", "+0.0000"]
    assert "4 documents as queries, 1 judged queries; 4 of 4 documents searched" in result.stdout


def test_queries_without_judgements_are_refused(index: Path, tiny_encoder_dir: Path, tmp_path: Path) -> None:
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"id": "q", "text": "the house"}\n')
    result = run("compare", tiny_encoder_dir, "default", "--index", index, "--queries", queries)
    assert isinstance(result.exception, UsageError)


@pytest.mark.parametrize("arguments", [("show", "default"), ("compare", "default", "default", "--index")])
def test_show_and_compare_do_without_tensorflow(arguments: tuple[str, ...], index: Path) -> None:
    given = [*arguments, str(index)] if arguments[-1] == "--index" else list(arguments)
    code = (
        "import sys; from docsim.cli.encoder import encoder; encoder(sys.argv[1:], standalone_mode=False);"
        "print(sorted({'tensorflow', 'keras', 'gensim', 'scipy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


# import


def test_importing_from_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = run("import", tmp_path / "gone", "--out", tmp_path / "out")
    assert isinstance(result.exception, UsageError)


@needs_keras
def test_importing_from_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    result = run("import", tmp_path, "--out", tmp_path / "out")
    assert isinstance(result.exception, TrainingError)
    assert not (tmp_path / "out").exists()
