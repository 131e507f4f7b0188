"""Metrics equal worked examples, tests and intervals equal what can be counted by hand, bad files are named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docsim.errors import UsageError
from docsim.evaluation.judgements import (
    ScoredPair,
    digest,
    read_pairs,
    read_qrels,
    read_queries,
    relevant,
    without_self,
)
from docsim.evaluation.metrics import depth, evaluate, metrics_at
from docsim.evaluation.significance import compare, correlate

QRELS = {"q": {"a": 2, "b": 1, "c": 0}}


def written(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def mean(run: dict[str, list[str]], qrels: dict[str, dict[str, int]], metric: str) -> float:
    return evaluate(run, qrels, metrics=[metric]).metrics[metric].value


def runs(*values: float) -> dict[str, dict[str, float]]:
    return {f"q{number}": {"nDCG@10": value} for number, value in enumerate(values)}


def p_value(differences: Sequence[float]) -> float:
    return compare(runs(*differences), runs(*[0.0] * len(differences)))["nDCG@10"].p


# Metrics


def test_ndcg_weighs_grades_and_ranks_as_in_the_worked_example() -> None:
    gain = 1 / math.log2(2) + 0 / math.log2(3) + 2 / math.log2(4)
    best = 2 / math.log2(2) + 1 / math.log2(3)
    assert mean({"q": ["b", "c", "a"]}, QRELS, "nDCG@10") == pytest.approx(gain / best)
    assert gain / best == pytest.approx(0.760188, abs=1e-6)


def test_ndcg_at_a_cutoff_ignores_what_comes_after_it() -> None:
    best = 2 / math.log2(2) + 1 / math.log2(3)
    assert mean({"q": ["b", "c", "a"]}, QRELS, "nDCG@2") == pytest.approx(1 / best)


def test_reciprocal_rank_is_that_of_the_first_relevant_document() -> None:
    assert mean({"q": ["c", "x", "b", "a"]}, QRELS, "RR@10") == pytest.approx(1 / 3)


def test_reciprocal_rank_is_zero_when_the_first_relevant_document_is_beyond_the_cutoff() -> None:
    assert mean({"q": ["c", "x", "b", "a"]}, QRELS, "RR@2") == 0.0


def test_recall_is_the_share_of_relevant_documents_found() -> None:
    assert mean({"q": ["x", "b", "c"]}, QRELS, "R@100") == pytest.approx(1 / 2)


def test_a_negative_grade_counts_like_no_judgement() -> None:
    assert mean({"q": ["spam", "a"]}, {"q": {"spam": -2, "a": 1}}, "nDCG@10") == pytest.approx(1 / math.log2(3))


def test_many_documents_are_judged_in_the_order_given() -> None:
    ranking = [f"d{number}" for number in range(1000)]
    assert mean({"q": ranking}, {"q": {"d499": 1}}, "RR@1000") == pytest.approx(1 / 500)


def test_a_judged_query_without_an_answer_counts_as_zero() -> None:
    report = evaluate({"q": ["a", "b"], "empty": []}, {**QRELS, "empty": {"a": 1}, "absent": {"b": 1}})
    assert (report.queries, report.unanswered) == (3, 2)
    assert report.metrics["nDCG@10"].value == pytest.approx(1 / 3)
    assert report.per_query["absent"] == {"nDCG@10": 0.0, "RR@10": 0.0, "R@100": 0.0}


def test_a_query_without_a_relevant_document_is_left_out() -> None:
    report = evaluate({"q": ["a", "b"], "none": ["a"]}, {**QRELS, "none": {"a": 0}})
    assert report.queries == 1
    assert report.metrics["R@100"].value == 1.0


def test_a_ranking_whose_query_is_not_judged_is_left_out() -> None:
    assert list(evaluate({"q": ["a"], "other": ["a"]}, QRELS).per_query) == ["q"]


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.text("abcdé ", min_size=1, max_size=4), st.integers(0, 4), min_size=1, max_size=20))
def test_the_best_ranking_has_an_ndcg_of_one(grades: dict[str, int]) -> None:
    grades = {**grades, "sure": 1}
    best = sorted(grades, key=lambda id: -grades[id])
    assert mean({"q": best}, {"q": grades}, "nDCG@10") == pytest.approx(1.0)


def test_judgements_without_a_relevant_document_are_refused() -> None:
    with pytest.raises(UsageError, match="grade 1 or more"):
        evaluate({}, {"q": {"a": 0}})


def test_a_ranking_that_holds_a_document_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="each document once in a ranking, got one twice for query q"):
        evaluate({"q": ["a", "b", "a"]}, QRELS)


@pytest.mark.parametrize("name", ["MAP@10", "nDCG", "nDCG@0", "nDCG@ten"])
def test_an_unknown_metric_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="expected a metric like"):
        evaluate({}, QRELS, metrics=[name])


def test_cutoffs_are_added_to_the_default_metrics() -> None:
    assert metrics_at([]) == ("nDCG@10", "RR@10", "R@100")
    assert metrics_at([20, 5, 20]) == (
        *("nDCG@5", "nDCG@10", "nDCG@20"),
        *("RR@5", "RR@10", "RR@20"),
        *("R@5", "R@20", "R@100"),
    )


def test_rankings_must_be_as_long_as_the_greatest_cutoff() -> None:
    assert depth(metrics_at([250])) == 250


# Intervals and comparisons


def test_the_interval_of_equal_values_has_no_width() -> None:
    found = evaluate({"p": ["a"], "q": ["a"]}, {"p": {"a": 1}, "q": {"a": 1}}).metrics["RR@10"]
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_the_interval_of_many_values_is_the_normal_one() -> None:
    qrels = {str(number): {"a": 1} for number in range(400)}
    found = evaluate({str(number): ["a"] for number in range(200)}, qrels).metrics["RR@10"]
    half_width = 1.96 * math.sqrt(0.5 * 0.5 / 400)
    assert found.value == 0.5
    assert found.low == pytest.approx(0.5 - half_width, abs=0.01)
    assert found.high == pytest.approx(0.5 + half_width, abs=0.01)


def test_the_same_input_gives_the_same_interval() -> None:
    qrels = {str(number): {"a": 1} for number in range(9)}
    run = {"1": ["a"], "2": ["b", "a"]}
    assert evaluate(run, qrels) == evaluate(run, qrels)


def test_the_p_value_counts_all_sign_changes_of_a_few_queries() -> None:
    # Of the eight sums of +-0.4, +-0.2 and +-0.1, those as far from 0 as 0.5 are +-0.7 and +-0.5.
    assert p_value([0.4, 0.2, -0.1]) == 0.5


def test_five_queries_that_all_improve_are_not_enough_and_six_are() -> None:
    five = compare(runs(*[0.5] * 5), runs(*[0.25] * 5))["nDCG@10"]
    six = compare(runs(*[0.5] * 6), runs(*[0.25] * 6))["nDCG@10"]
    assert (five.p, five.significant) == (2 / 32, False)
    assert (six.p, six.significant) == (2 / 64, True)


def test_many_queries_that_all_improve_have_the_least_p_value_that_sampling_can_give() -> None:
    assert p_value([0.1] * 100) == 1 / 10_001


def test_sampled_and_counted_p_values_agree() -> None:
    counted = p_value([0.3, -0.1, 0.2, 0.1, -0.2, 0.3, 0.05, 0.1, -0.1, 0.2, 0.15, -0.3, 0.4])
    sampled = p_value([0.3, -0.1, 0.2, 0.1, -0.2, 0.3, 0.05, 0.1, -0.1, 0.2, 0.15, -0.3, 0.4, 0.0])
    assert sampled == pytest.approx(counted, abs=0.015)


def test_a_run_does_not_differ_from_itself() -> None:
    found = compare(runs(0.1, 0.7, 0.3), runs(0.1, 0.7, 0.3))["nDCG@10"]
    assert (found.difference.value, found.p, found.significant) == (0.0, 1.0, False)


def test_a_difference_is_positive_when_the_first_run_is_better() -> None:
    found = compare(runs(0.75, 0.5), runs(0.5, 0.25))["nDCG@10"].difference
    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)


def test_only_queries_that_both_runs_have_are_compared() -> None:
    found = compare(runs(1.0, 0.5, 0.0), runs(0.5, 0.5))["nDCG@10"]
    assert (found.queries, found.difference.value) == (2, 0.25)


def test_runs_without_a_common_query_are_refused() -> None:
    with pytest.raises(UsageError, match="same queries"):
        compare({"a": {"RR@10": 1.0}}, {"b": {"RR@10": 1.0}})


def test_runs_without_a_common_metric_are_refused() -> None:
    with pytest.raises(UsageError, match="same metrics"):
        compare({"a": {"RR@10": 1.0}}, {"a": {"RR@5": 1.0}})


# Correlations


def test_correlations_equal_the_worked_example() -> None:
    found = correlate(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0]))
    assert found.spearman.value == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert found.pearson.value == pytest.approx(0.8)


def test_spearman_sees_order_only_and_pearson_sees_distances() -> None:
    found = correlate(np.array([1.0, 2.0, 10.0]), np.array([1.0, 2.0, 3.0]))
    assert found.spearman.value == pytest.approx(1.0)
    assert found.pearson.value == pytest.approx(9 / math.sqrt(2 * 438 / 9))


def test_spearman_gives_ties_their_mean_rank() -> None:
    found = correlate(np.array([1.0, 2.0, 3.0]), np.array([5.0, 5.0, 9.0]))  # ranks 1.5, 1.5 and 3
    assert found.spearman.value == pytest.approx(1.5 / math.sqrt(2 * 1.5))


def test_the_interval_of_a_correlation_is_that_of_fisher() -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=800)
    found = correlate(x, x + generator.normal(size=800)).pearson
    z, width = math.atanh(found.value), 1.96 / math.sqrt(800 - 3)
    assert found.low == pytest.approx(math.tanh(z - width), abs=0.01)
    assert found.high == pytest.approx(math.tanh(z + width), abs=0.01)


def test_scores_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(UsageError, match="expected scores that differ, got 3"):
        correlate(np.array([1.0, 2.0, 3.0]), np.array([5.0, 5.0, 5.0]))


# Files


def test_qrels_are_read_with_their_grades(tmp_path: Path) -> None:
    path = written(tmp_path, "q.txt", "1 0 a.md 2\n\n1\t0\tb.md\t-1\n2 Q0 a.md 0\n2 Q0 a.md 0\n")
    assert read_qrels(path) == {"1": {"a.md": 2, "b.md": -1}, "2": {"a.md": 0}}


def test_ids_with_spaces_are_read_when_tabs_separate_the_fields(tmp_path: Path) -> None:
    path = written(tmp_path, "q.txt", "my query\t0\tExpense policy.md\t1\n")
    assert read_qrels(path) == {"my query": {"Expense policy.md": 1}}


def test_ids_with_spaces_between_spaces_are_refused_with_the_way_out(tmp_path: Path) -> None:
    path = written(tmp_path, "q.txt", "1 0 a 1\n1 0 Expense policy.md 1\n")
    with pytest.raises(
        UsageError, match=r"q\.txt:2, got 5 fields; separate the fields by tabs if an id contains spaces"
    ):
        read_qrels(path)


@pytest.mark.parametrize("grade", ["high", "1.5", "1000000000"])
def test_a_grade_that_is_no_small_whole_number_is_refused(tmp_path: Path, grade: str) -> None:
    path = written(tmp_path, "q.txt", f"1 0 a {grade}\n")
    with pytest.raises(UsageError, match=rf"as grade at .*q\.txt:1, got '{grade}'"):
        read_qrels(path)


def test_a_pair_judged_twice_in_different_ways_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "q.txt", "1 0 a 1\n1 0 a 2\n")
    with pytest.raises(UsageError, match=r"one grade for a, got a second one at .*q\.txt:2"):
        read_qrels(path)


@pytest.mark.parametrize("read", [read_qrels, read_queries])
def test_an_empty_file_is_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(UsageError, match="found none"):
        read(written(tmp_path, "empty", "\n"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"could not read .*gone\.txt: No such file"):
        read_qrels(tmp_path / "gone.txt")


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_bytes(b"1 0 caf\xe9 1\n")
    with pytest.raises(UsageError, match=r"UTF-8 text in .*q\.txt, got byte 0xe9"):
        read_qrels(tmp_path / "q.txt")


def test_judgements_of_a_document_for_itself_can_be_left_out() -> None:
    assert without_self({"a": {"a": 1, "b": 1}, "c": {"c": 1}}) == {"a": {"b": 1}, "c": {}}


def test_queries_with_a_relevant_document_are_those_with_a_grade_of_at_least_one() -> None:
    assert list(relevant({"a": {"x": 0}, "b": {"x": 0, "y": 1}, "c": {}})) == ["b"]


def test_the_digest_of_judgements_depends_on_grades_and_not_on_order() -> None:
    assert digest({"p": {"a": 1, "b": 2}, "q": {}}) == digest({"q": {}, "p": {"b": 2, "a": 1}})
    assert digest({"p": {"a": 1}}) != digest({"p": {"a": 2}})


def test_queries_are_read_by_id(tmp_path: Path) -> None:
    path = written(tmp_path, "q.jsonl", '\ufeff{"id": "a", "text": "one", "title": "x"}\n\n{"id": 7, "text": "two"}\n')
    assert read_queries(path) == {"a": "one", "7": "two"}


@pytest.mark.parametrize(
    "line",
    ['{"id": "b"}', '{"text": "b"}', '{"id": "b", "text": " "}', '{"id": true, "text": "b"}', "[]", "{", "[" * 9999],
)
def test_a_line_that_is_no_query_is_named(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, "q.jsonl", '{"id": "a", "text": "a"}\n' + line)
    with pytest.raises(UsageError, match=r"q\.jsonl:2"):
        read_queries(path)


def test_a_query_given_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "q.jsonl", '{"id": 1, "text": "a"}\n{"id": "1", "text": "b"}\n')
    with pytest.raises(UsageError, match=r"the id 1 a second time at .*q\.jsonl:2"):
        read_queries(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.tsv", 'score\tsentence1\tsentence2\n4.5\tA "b" c\t"d\n1\te\tf\n'),
        ("p.csv", 'text_a,text_b,score\r\n"A ""b"" c","""d",4.5\r\ne,f,1\r\n'),
        (
            "p.jsonl",
            '{"text_a": "A \\"b\\" c", "text_b": "\\"d", "score": 4.5}\n{"text_a": "e", "text_b": "f", "score": "1"}\n',
        ),
    ],
)
def test_pairs_are_read_from_every_kind_of_table(tmp_path: Path, name: str, content: str) -> None:
    pairs = read_pairs(written(tmp_path, name, content))
    assert pairs == [ScoredPair('A "b" c', '"d', 4.5), ScoredPair("e", "f", 1.0)]


@pytest.mark.parametrize("score", ["much", "", "nan", "inf"])
def test_a_score_that_is_no_finite_number_is_refused(tmp_path: Path, score: str) -> None:
    path = written(tmp_path, "p.tsv", f"score\ttext_a\ttext_b\n1\ta\tb\n{score}\tc\td\n")
    with pytest.raises(UsageError, match=rf"finite number as score at .*p\.tsv:3, got '{score}'"):
        read_pairs(path)


def test_a_score_outside_the_range_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "p.tsv", "score\ttext_a\ttext_b\n0\ta\tb\n5.5\tc\td\n")
    with pytest.raises(UsageError, match=r"from 0 to 5 at .*p\.tsv:3, got 5\.5"):
        read_pairs(path, score_range=(0, 5))


def test_a_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"text_a, text_b and score, or sentence1, .*p\.tsv:2"):
        read_pairs(written(tmp_path, "p.tsv", "score\tid1\tid2\n1\ta\tb\n"))


def test_a_broken_csv_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"p\.csv:2"):
        read_pairs(written(tmp_path, "p.csv", 'text_a,text_b,score\n"a"b,c,1\n'))


def test_a_single_pair_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"at least two pairs in .*, found 1"):
        read_pairs(written(tmp_path, "p.csv", "text_a,text_b,score\na,b,1\n"))


def test_a_table_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a \.tsv, \.csv or \.jsonl file of pairs, got .*p\.xlsx"):
        read_pairs(written(tmp_path, "p.xlsx", ""))
