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

from docsim.engine.local import snapshots
from docsim.engine.local.store import Generation, Store
from docsim.evaluation import measures
from docsim.evaluation.measures import Comparison, Report
from docsim.index import Index
from docsim.maintenance import verify
from docsim.reindex.questions import Answer, Questions

__all__ = ["LEAST_QUESTIONS", "METRIC", "Check", "Quality", "Verdict", "checks", "quality", "verdict"]

METRIC = "nDCG@10"
"""What decides."""

LEAST_QUESTIONS = 10
"""With fewer, nothing is said about quality."""

LEAST_RECALL = 0.95
"""Recall@10 that FAISS has to reach."""

_K = 10
_SAMPLE = 100  # passages that are searched for
_EQUAL = 1e-4  # similarities that differ by less are the same: float16 rounding
_ROWS = 20_000  # embeddings that are compared at a time


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
    old: Report
    new: Report
    differences: Mapping[str, Comparison]
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


def verdict(old: Index, new: Index, questions: Questions | None, *, max_loss: float) -> Verdict:
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
    """Check the generation that an index was opened at, from one committed state."""
    with index.store.reading():
        generation = index.generation()
        found = list(_sound(index.store, generation))
        if all(check.passed for check in found):
            found.append(_search(index, generation))
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


def _report(questions: Questions, answers: Mapping[str, Answer]) -> Report:
    run = {query: [one.id for one in found] for query, found in answers.items()}
    judged = {query: grades for query, grades in questions.qrels.items() if query in answers}
    return measures.evaluate(run, judged, metrics=questions.metrics)


def _sound(store: Store, generation: Generation) -> Iterator[Check]:
    """Check the stored embeddings; documents that came after the snapshot was written follow before publishing."""
    sql = (
        "SELECT count(*), coalesce(sum(first_passage <= ?), 0) FROM documents WHERE NOT EXISTS"
        " (SELECT 1 FROM embeddings WHERE document = documents.number AND generation = ?)"
    )
    lacking, early = store.rows(sql, generation.snapshot_passage, generation.number)[0]
    total = int(store.value("SELECT count(*) FROM documents"))
    late = f", {lacking - early} that came meanwhile follow before publishing" if lacking > early else ""
    yield Check("documents", not early, f"{total - lacking} of {total}{late}")
    wrong = verify.damaged(store, generation)
    detail = (
        f"{len(wrong)} documents whose embeddings are damaged or not of unit norm" if wrong else "finite, unit norm"
    )
    yield Check("embeddings", not wrong, detail)


def _search(index: Index, generation: Generation) -> Check:
    """Compare FAISS with exact search, for passages drawn by lot as queries."""
    view = snapshots.refreshed(index.store, index.path, None, number=generation.number)
    places = Random(0).sample(range(len(view.documents)), min(_SAMPLE, len(view.documents)))
    if not places:
        return Check("search", True, "nothing to search")
    queries = np.stack([rows[0] for rows in view.rows(np.array(sorted(places))) if len(rows)]).astype(np.float32)
    found = view.vectors.search(queries, _K).similarities
    exact = _exact(index.store, generation, queries, k=found.shape[1])
    recall = float((found >= exact[:, -1:] - _EQUAL).mean())
    return Check("search", recall >= LEAST_RECALL, f"recall@{_K} {recall:.3f} of exact search")


def _exact(store: Store, generation: Generation, queries: NDArray[np.float32], *, k: int) -> NDArray[np.float32]:
    """Return the ``k`` highest similarities of each query, descending, ``float32 (queries, k)``, by brute force."""
    best = np.full((len(queries), k), -np.inf, dtype=np.float32)
    block: list[NDArray[np.float16]] = []
    size = 0

    def add() -> NDArray[np.float32]:
        rows = np.concatenate(block).astype(np.float32)
        both = np.concatenate([best, queries @ rows.T], axis=1)
        return np.sort(np.partition(both, both.shape[1] - k, axis=1)[:, both.shape[1] - k :], axis=1)[:, ::-1]

    for _, rows in store.vectors_after(generation.number, 0):
        block.append(rows)
        size += len(rows)
        if size >= _ROWS:
            best, block, size = add(), [], 0
    return add() if block else best


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
