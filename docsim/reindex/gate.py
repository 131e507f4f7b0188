"""The gate: what a generation has to pass before it is published.

    sound      every document has its embeddings, finite, of unit norm, as they were written
    search     FAISS finds what exact search finds: recall@10 of passages
    quality    the new generation finds what is relevant not worse than the live one, on the same questions

Quality is nDCG@10; the difference of the means over questions comes with its 95 % bootstrap interval, questions paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from docsim.engine.base import Snapshot
from docsim.engine.records import Soundness
from docsim.evaluation import measures
from docsim.evaluation.measures import RunComparison, RunReport
from docsim.index import Index
from docsim.reindex.questions import Answer, Questions

__all__ = ["LEAST_QUESTIONS", "METRIC", "Check", "Quality", "Verdict", "checks", "judge", "quality"]

METRIC = "nDCG@10"
"""What decides."""

LEAST_QUESTIONS = 10
"""With fewer, nothing is said about quality."""

LEAST_RECALL = 0.95
"""Recall@10 that FAISS has to reach."""

_K = 10
_SAMPLE = 100  # passages that are searched for
_EQUAL = 1e-4  # similarities that differ by less are the same: float16 rounding
_TOGETHER = 4_000  # documents whose embeddings are compared at a time


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked: its name, whether it is as it should be, and what was found."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Quality:
    """What the live and the new generation found for the same questions.

    Attributes:
        questions: What was asked.
        old: How good the live generation's answers are.
        new: How good the new one's are.
        differences: New minus old, by metric.
        old_answers: What the live one found, by question.
        new_answers: What the new one found.
    """

    questions: Questions
    old: RunReport
    new: RunReport
    differences: Mapping[str, RunComparison]
    old_answers: Mapping[str, Answer]
    new_answers: Mapping[str, Answer]

    @property
    def gain(self) -> float:
        """Mean of new minus old by the metric that decides, in [-1, 1]."""
        return self.differences[METRIC].difference.value


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a generation may be published.

    Attributes:
        checks: What was checked; quality among it.
        quality: What the generations were compared by; None where there were too few questions.
        max_loss: How much worse the new one was allowed to be.
    """

    checks: tuple[Check, ...]
    quality: Quality | None
    max_loss: float

    @property
    def passed(self) -> bool:
        """Whether all is as it should be."""
        return all(check.passed for check in self.checks)

    @property
    def sound(self) -> bool:
        """Whether all is as it should be but for quality: what is not sound is never published."""
        return all(check.passed for check in self.checks if check.name != "quality")


def judge(old: Index, new: Index, questions: Questions | None, *, max_loss: float) -> Verdict:
    """Check a generation, and compare it with the live one.

    Args:
        old: Opened at the live generation.
        new: Opened at the generation to check.
        questions: What to ask both; None where the live one cannot be asked.
        max_loss: How much worse nDCG@10 may be, in [0, 1].
    """
    found = checks(new)
    if not all(check.passed for check in found):
        return Verdict(found, None, max_loss)
    if questions is None:
        return Verdict((*found, Check("quality", True, "not measured: the live one cannot be asked")), None, max_loss)
    compared = quality(old, new, questions) if len(questions.qrels) >= LEAST_QUESTIONS else None
    return Verdict((*found, _of_quality(compared, len(questions.qrels), max_loss)), compared, max_loss)


def checks(index: Index) -> tuple[Check, ...]:
    """Check the generation that an index was opened at."""
    found = list(_sound(index.engine.soundness()))
    if all(check.passed for check in found):
        with index.engine.snapshot() as snapshot:
            found.append(_search(snapshot))
    return tuple(found)


def quality(old: Index, new: Index, questions: Questions) -> Quality:
    """Ask two generations the same questions, side by side, and compare what both of them find."""
    with ThreadPoolExecutor(2, thread_name_prefix="docsim-gate") as executor:
        before, after = executor.map(questions.ask, (old, new))
    both = [query for query in questions.qrels if query in before and query in after]
    before, after = ({query: answers[query] for query in both} for answers in (before, after))
    reports = [_report(questions, answers) for answers in (before, after)]
    differences = measures.compare(reports[1].per_query, reports[0].per_query)
    return Quality(questions, reports[0], reports[1], differences, before, after)


def _report(questions: Questions, answers: Mapping[str, Answer]) -> RunReport:
    run = {query: [one.id for one in found] for query, found in answers.items()}
    judged = {query: grades for query, grades in questions.qrels.items() if query in answers}
    return measures.evaluate(run, judged, metrics=questions.metrics)


def _sound(found: Soundness) -> Iterator[Check]:
    """Tell about the stored embeddings; documents that came late are embedded before publishing."""
    late = found.lacking - found.early
    came = f", {late} that came meanwhile follow before publishing" if late else ""
    yield Check("documents", not found.early, f"{found.documents - found.lacking} of {found.documents}{came}")
    detail = "finite, unit norm"
    if found.damaged:
        detail = f"{len(found.damaged)} documents whose embeddings are damaged or not of unit norm"
    yield Check("embeddings", not found.damaged, detail)


def _search(snapshot: Snapshot) -> Check:
    """Compare what the engine finds with exact search, for passages drawn at random as queries."""
    numbers = snapshot.embedded()
    drawn = sorted(Random(0).sample(numbers.tolist(), min(_SAMPLE, len(numbers))))
    if not drawn:
        return Check("search", True, "nothing to search")
    queries = np.stack([rows[0] for rows in snapshot.embeddings(np.array(drawn, np.int64))]).astype(np.float32)
    found = snapshot.knn(queries, _K).similarities
    exact = _exact(snapshot, numbers, queries, k=found.shape[1])
    recall = float((found >= exact[:, -1:] - _EQUAL).mean())
    return Check("search", recall >= LEAST_RECALL, f"recall@{_K} {recall:.3f} of exact search")


def _exact(
    snapshot: Snapshot, numbers: NDArray[np.int64], queries: NDArray[np.float32], *, k: int
) -> NDArray[np.float32]:
    """Return the ``k`` highest similarities of each query, descending, ``float32 (queries, k)``, by brute force."""
    best = np.full((len(queries), k), -np.inf, dtype=np.float32)
    for start in range(0, len(numbers), _TOGETHER):
        rows = np.concatenate(snapshot.embeddings(numbers[start : start + _TOGETHER])).astype(np.float32)
        both = np.concatenate([best, queries @ rows.T], axis=1)
        best = np.sort(np.partition(both, both.shape[1] - k, axis=1)[:, both.shape[1] - k :], axis=1)[:, ::-1]
    return best


def _of_quality(compared: Quality | None, questions: int, max_loss: float) -> Check:
    if compared is None:
        return Check("quality", True, f"not measured: {questions} questions are too few")
    one = compared.differences[METRIC].difference
    old, new = (report.metrics[METRIC].value for report in (compared.old, compared.new))
    detail = (
        f"{METRIC} {old:.4f} before, {new:.4f} after: {one.value:+.4f} (95 % interval {one.low:+.4f} to "
        f"{one.high:+.4f}) over {compared.old.queries} {compared.questions.source}"
    )
    return Check("quality", one.value >= -max_loss, detail)
