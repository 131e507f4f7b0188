"""Labelled examples: what is read, what is refused and where, and how they are split and batched."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import toy_training

from docsim.errors import TrainingError
from docsim.training.data.batch_layout import BatchOptions, input_format, tokenize
from docsim.training.data.labelled_examples import ExampleBatches, Examples, read_examples, split_examples


def written(path: Path, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def many(row: str, count: int = 20) -> list[str]:
    return [row.format(n=n) for n in range(count)]


@pytest.mark.parametrize("columns", ["text_a,text_b,score", "sentence1,sentence2,score"])
def test_scored_pairs_are_put_on_a_scale_from_0_to_1(tmp_path: Path, columns: str) -> None:
    rows = [f'"a, {n}",b{n},{n % 6}' for n in range(20)]
    examples = read_examples(written(tmp_path / "p.csv", columns, rows), score_range=(0, 5))
    assert examples.kind == "scored"
    assert examples.texts[3] == ("a, 3", "b3")
    assert examples.scores is not None
    np.testing.assert_allclose(examples.scores[:6], [0, 0.2, 0.4, 0.6, 0.8, 1], atol=1e-6)


def test_columns_may_come_in_any_order_among_others(tmp_path: Path) -> None:
    rows = [f"0.{n % 9}\tignored\tfirst {n}\tsecond {n}" for n in range(20)]
    examples = read_examples(written(tmp_path / "p.tsv", "score\tnote\tsentence1\tsentence2", rows))
    assert examples.texts[0] == ("first 0", "second 0")


def test_positive_pairs_need_no_score(tmp_path: Path) -> None:
    examples = read_examples(written(tmp_path / "p.csv", "anchor,positive", many("q{n},d{n}")))
    assert (examples.kind, examples.texts[1], examples.scores) == ("positive", ("q1", "d1"), None)


def test_triplets_are_read_from_json_lines(tmp_path: Path) -> None:
    rows = [json.dumps({"anchor": f"q{n}", "positive": f"d{n}", "negative": f"x{n}"}) for n in range(20)]
    (tmp_path / "t.jsonl").write_text("\n".join(rows))
    examples = read_examples(tmp_path / "t.jsonl")
    assert (examples.kind, examples.texts[19]) == ("triplet", ("q19", "d19", "x19"))


def test_a_byte_order_mark_and_a_quotation_mark_in_tsv_are_no_trouble(tmp_path: Path) -> None:
    rows = ['5" pipe\tpipe of 5"', *many("q{n}\td{n}")]
    (tmp_path / "p.tsv").write_text("\ufeffanchor\tpositive\n" + "\n".join(rows), encoding="utf-8")
    assert read_examples(tmp_path / "p.tsv").texts[0] == ('5" pipe', 'pipe of 5"')


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a,,0.5", "expected text in the column text_b at .*p.csv:22; got an empty text"),
        ("a,   ,0.5", "expected text in the column text_b"),
        ("a,b,much", "finite number as score at .*p.csv:22; got 'much'"),
        ("a,b,nan", "finite number"),
        ("a,b,", "finite number"),
        ("a,b,4.5", "from 0 to 1 at .*p.csv:22; got 4.5.*give its lowest and highest score"),
        ("a,b,-0.1", "from 0 to 1"),
        ("a", "expected text in the column text_b at .*p.csv:22; got nothing"),
    ],
)
def test_a_bad_row_is_refused_with_its_file_and_line(tmp_path: Path, row: str, says: str) -> None:
    path = written(tmp_path / "p.csv", "text_a,text_b,score", [*(f"a{n},b{n},0.{n % 9}" for n in range(20)), row])
    with pytest.raises(TrainingError, match=says):
        read_examples(path)


def test_equal_scores_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="all 20 are equal"):
        read_examples(written(tmp_path / "p.csv", "text_a,text_b,score", many("a{n},b{n},0.5")))


@pytest.mark.parametrize("count", [0, 1, 15])
def test_too_few_examples_are_refused(tmp_path: Path, count: int) -> None:
    path = written(tmp_path / "p.csv", "anchor,positive", many("q{n},d{n}", count))
    with pytest.raises(TrainingError, match=rf"at least 16 examples in .*; found {count}"):
        read_examples(path)


def test_unknown_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"found left, right at .*p\.csv:2"):
        read_examples(written(tmp_path / "p.csv", "left,right", many("q{n},d{n}")))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.txt", b"x", "expected a .csv, .tsv, .jsonl or .ndjson file"),
        ("p.jsonl", b"[1]\n", "one JSON object per line.*p.jsonl:1"),
        ("p.jsonl", b"{\n", "one JSON object per line"),
        ("p.csv", b"anchor,positive\n\xff,b\n", "expected UTF-8 text in .*got byte 0xff"),
        ("p.csv", b'anchor,positive\n"a,b\n', "expected a row of a table at .*p.csv:1; it cannot be read"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainingError, match=says):
        read_examples(tmp_path / name)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="could not be read: No such file"):
        read_examples(tmp_path / "none.csv")


@pytest.mark.parametrize("scale", [(1.0, 1.0), (5.0, 0.0), (0.0, float("inf"))])
def test_a_scale_must_go_up(tmp_path: Path, scale: tuple[float, float]) -> None:
    with pytest.raises(TrainingError, match="from a lower to a higher number"):
        read_examples(tmp_path / "p.csv", score_range=scale)


def test_the_same_texts_stay_on_one_side_of_the_split() -> None:
    texts = tuple((f"a{n % 30}", f"b{n % 30}") if n % 2 else (f"b{n % 30}", f"a{n % 30}") for n in range(90))
    split = split_examples(Examples("positive", texts), seed=0)
    assert len(split.train) + len(split.held_out) == 90
    assert not {frozenset(pair) for pair in split.train.texts} & {frozenset(pair) for pair in split.held_out.texts}


@pytest.mark.parametrize("seed", range(5))
def test_scores_that_are_held_out_differ_where_any_do(seed: int) -> None:
    texts = tuple((f"a{n}", f"b{n}") for n in range(60))
    scores = np.array([0.2] + [1.0] * 59, np.float32)
    held_out = split_examples(Examples("scored", texts, scores), seed=seed).held_out.scores
    assert held_out is not None
    assert sorted(set(held_out.tolist())) == pytest.approx([0.2, 1.0])


def test_examples_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(TrainingError, match="the same ones repeatedly"):
        split_examples(Examples("positive", (("a", "b"),) * 30), seed=0)


def batches_of(examples: Examples, size: int) -> ExampleBatches:
    parts = toy_training.parts()
    ids = [tokenize(side, parts) for side in zip(*examples.texts, strict=True)]
    return ExampleBatches(examples, ids, BatchOptions(input_format(parts), size=size, seed=1))


def test_a_batch_depends_on_its_number_alone_and_an_epoch_shows_every_example() -> None:
    scores = np.linspace(0, 1, 12, dtype=np.float32)
    examples = Examples("scored", tuple((f"c{n}", "c0") for n in range(12)), scores)
    batches = batches_of(examples, 4)
    assert batches.per_epoch == 3
    seen = np.concatenate([batches.batch(step).labels["scores"] for step in range(3)])
    np.testing.assert_allclose(np.sort(seen), scores)
    again = batches_of(examples, 4).batch(5)
    np.testing.assert_array_equal(batches.batch(5).sides[0], again.sides[0])


def test_pairs_that_share_a_text_are_no_negatives_of_each_other() -> None:
    texts = (("c0", "c1"), ("c0", "c2"), ("c3", "c1"), ("c4", "c5"))
    batch = batches_of(Examples("positive", texts), 4).batch(0)
    shared = {(a, b) for a in range(4) for b in range(4) if batch.labels["excluded"][a, b]}
    first, second = (side[:, 0] for side in batch.sides)
    expected = {
        (a, b) for a in range(4) for b in range(4) if a != b and (first[a] == first[b] or second[a] == second[b])
    }
    assert shared == expected
    assert len(expected) == 4
