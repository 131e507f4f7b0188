"""The gate: the checks that a generation must pass before it is published.

    sound      every document has embeddings that are intact, finite and of unit norm
    search     the index finds what exact search finds: recall@10 of passages
    quality    on the same questions, the new generation answers no worse than the live one, up to a tolerance; each
               kind of question is a check of its own

Quality is nDCG@10. The mean difference over questions comes with its 95 % bootstrap interval, paired by question. A
loss counts unless it may be chance: if both were equally good, one of ten comparisons would show as large a loss.
With too few questions quality is not measured, and what is not measured does not pass, unless both encoders are shipped
ones, which were compared before docsim was released.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from docsim.encoding import shipped
from docsim.engine.base import Snapshot
from docsim.engine.records import Soundness
from docsim.engine.retrying import retried
from docsim.evaluation import metrics, significance
from docsim.evaluation.metrics import RunReport
from docsim.evaluation.significance import PerQuery, RunComparison
from docsim.index import Index
from docsim.reindex.made_questions import QUESTIONS, SPANS
from docsim.reindex.questions import JUDGED, USED, Answer, Questions
from docsim.threads import Threads

__all__ = [
    "CHANCE",
    "LEAST_QUESTIONS",
    "METRIC",
    "GateCheck",
    "KindComparison",
    "Quality",
    "Verdict",
    "checks",
    "judge",
    "kind_check",
    "quality",
]

METRIC = "nDCG@10"
"""The metric that decides about quality."""

LEAST_QUESTIONS = 10
"""With fewer questions, quality is not measured."""

CHANCE = 0.2
"""A loss whose two-sided p-value is above this may be chance, as it often is with few questions."""

LEAST_RECALL = 0.95
"""The recall@10 that a search has to reach against exact search."""

_KINDS = (JUDGED, USED, SPANS, QUESTIONS)  # of questions; the other checks are about soundness
_K = 10
_SAMPLE = 100  # documents whose first passages are the queries of the search check
_EQUAL = 1e-4  # similarities that differ by less count as equal: float16 rounding
_TOGETHER = 4_000  # documents per batch of exact search


@dataclass(frozen=True, slots=True)
class GateCheck:
    """The result of one check: its name, whether it passed, and a detail for people."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class KindComparison:
    """How well two generations answer the questions of one kind.

    Attributes:
        old: The live generation's metrics, by name.
        new: The new generation's metrics, by name.
        differences: New minus old, by metric.
    """

    old: Mapping[str, float]
    new: Mapping[str, float]
    differences: Mapping[str, RunComparison]


@dataclass(frozen=True, slots=True)
class Quality:
    """How well the live and the new generation answer the same questions.

    Attributes:
        questions: The questions.
        old: Metrics of the live generation's answers.
        new: Metrics of the new generation's answers.
        differences: New minus old, by metric, over all questions.
        kinds: The same over the questions of each kind, for the kinds that were measured.
        old_answers: The live generation's answers, by question id.
        new_answers: The new generation's answers, by question id.
    """

    questions: Questions
    old: RunReport
    new: RunReport
    differences: Mapping[str, RunComparison]
    kinds: Mapping[str, KindComparison]
    old_answers: Mapping[str, Answer]
    new_answers: Mapping[str, Answer]

    @property
    def gain(self) -> float:
        """The mean of new minus old, by the metric that decides, in [-1, 1]."""
        return self.differences[METRIC].difference.value


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a generation may be published.

    Attributes:
        checks: The results of all checks, quality included.
        quality: The comparison of the two generations; None if it was not measured.
        max_loss: How much worse the new generation was allowed to be, in nDCG@10.
    """

    checks: tuple[GateCheck, ...]
    quality: Quality | None
    max_loss: float

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return all(check.passed for check in self.checks)

    @property
    def sound(self) -> bool:
        """Whether all checks except quality passed. A generation that is not sound is never published."""
        return all(check.passed for check in self.checks if check.name not in _KINDS)

    @property
    def refusal(self) -> str | None:
        """Why the generation did not pass: ``unsound``, ``unmeasured`` or ``worse``; None if it passed."""
        if self.passed:
            return None
        if not self.sound:
            return "unsound"
        return "worse" if self.quality else "unmeasured"


def judge(old: Index, new: Index, questions: Questions | None, *, max_loss: float) -> Verdict:
    """Check a generation, and compare its answers with those of the live one.

    Args:
        old: The index, opened at the live generation.
        new: The index, opened at the generation to check.
        questions: What to ask both; None if the live generation cannot answer.
        max_loss: How much lower nDCG@10 may be, in [0, 1].
    """
    found = checks(new)
    if not all(check.passed for check in found):
        return Verdict(found, None, max_loss)
    if questions is None:
        return Verdict(
            (*found, GateCheck(JUDGED, True, "not measured: the live generation cannot answer")), None, max_loss
        )
    compared = quality(old, new, questions)
    if compared is None:
        nothing_to_lose = max_loss >= 1 or not new.counts().documents
        known = all(shipped.is_shipped(one.generation().fingerprint) for one in (old, new))
        return Verdict((*found, _unmeasured(questions, nothing_to_lose=nothing_to_lose, known=known)), None, max_loss)
    return Verdict((*found, *_of_quality(compared, max_loss)), compared, max_loss)


@retried
def checks(index: Index) -> tuple[GateCheck, ...]:
    """Run the checks of soundness and search on the generation that an index was opened at."""
    found = list(_sound(index.engine.soundness()))
    if all(check.passed for check in found):
        with index.engine.snapshot() as snapshot:
            found.append(_search(snapshot))
    return tuple(found)


def quality(old: Index, new: Index, questions: Questions) -> Quality | None:
    """Ask two generations the same questions, in parallel, and compare their answers where both have one.

    Returns:
        The comparison; None if there are fewer than ``LEAST_QUESTIONS`` of every kind.
    """
    if not _enough(questions, questions.qrels):
        return None
    with Threads(2, "docsim-gate") as executor:
        before, after = executor.results(questions.ask, (old, new))
    both = [query for query in questions.qrels if query in before and query in after]
    if not _enough(questions, both):
        return None
    before, after = ({query: answers[query] for query in both} for answers in (before, after))
    reports = [_report(questions, answers) for answers in (before, after)]
    differences = significance.compare(reports[1].per_query, reports[0].per_query)
    kinds = dict(_by_kind(questions, reports[0].per_query, reports[1].per_query))
    return Quality(questions, reports[0], reports[1], differences, kinds, before, after)


def _enough(questions: Questions, ids: Iterable[str]) -> bool:
    """Return whether there are enough questions of any kind."""
    return max(Counter(questions.kinds[id] for id in ids).values(), default=0) >= LEAST_QUESTIONS


def _report(questions: Questions, answers: Mapping[str, Answer]) -> RunReport:
    run = {query: [one.id for one in found] for query, found in answers.items()}
    judged = {query: grades for query, grades in questions.qrels.items() if query in answers}
    return metrics.evaluate(run, judged, metrics=questions.metrics)


def _by_kind(questions: Questions, old: PerQuery, new: PerQuery) -> Iterator[tuple[str, KindComparison]]:
    """Yield the comparison of each kind of which there are enough questions."""
    for kind in _KINDS:
        before, after = ({id: run[id] for id in run if questions.kinds[id] == kind} for run in (old, new))
        if len(before) >= LEAST_QUESTIONS:
            yield kind, KindComparison(_means(before), _means(after), significance.compare(after, before))


def _means(run: PerQuery) -> dict[str, float]:
    return {name: float(np.mean([values[name] for values in run.values()])) for name in next(iter(run.values()))}


def _sound(found: Soundness) -> Iterator[GateCheck]:
    """Check the stored embeddings. Documents indexed during the re-index are embedded before publishing."""
    late = found.lacking - found.early
    came = f"; {late} indexed in the meantime are embedded before publishing" if late else ""
    yield GateCheck("documents", not found.early, f"{found.documents - found.lacking} of {found.documents}{came}")
    detail = "finite, unit norm"
    if found.damaged:
        detail = f"{len(found.damaged)} documents whose embeddings are damaged or not of unit norm"
    yield GateCheck("embeddings", not found.damaged, detail)


def _search(snapshot: Snapshot) -> GateCheck:
    """Compare the engine with exact search, using passages of random documents as queries."""
    numbers = snapshot.embedded()
    drawn = sorted(Random(0).sample(numbers.tolist(), min(_SAMPLE, len(numbers))))
    if not drawn:
        return GateCheck("search", True, "nothing to search")
    queries = np.stack([rows[0] for rows in snapshot.embeddings(np.array(drawn, np.int64))]).astype(np.float32)
    found = snapshot.knn(queries, _K).similarities
    exact = _exact(snapshot, numbers, queries, k=found.shape[1])
    recall = float((found >= exact[:, -1:] - _EQUAL).mean())
    return GateCheck("search", recall >= LEAST_RECALL, f"recall@{_K} {recall:.3f} of exact search")


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


def _unmeasured(questions: Questions, *, nothing_to_lose: bool, known: bool) -> GateCheck:
    """Return the result where too few questions can be asked.

    Args:
        questions: The questions.
        nothing_to_lose: Whether any loss would do.
        known: Whether both encoders are shipped ones, so that they were compared before.
    """
    count = len(questions.qrels)
    detail = f"not measured: {count} questions are too few, {LEAST_QUESTIONS} of a kind are needed"
    if known and not nothing_to_lose:
        detail += "; published all the same, as both encoders come with docsim and were compared on other documents"
    return GateCheck(JUDGED, nothing_to_lose or known, detail)


def _of_quality(compared: Quality, max_loss: float) -> Iterator[GateCheck]:
    for kind, found in compared.kinds.items():
        source = compared.questions.source if kind == JUDGED else f"{kind} {compared.questions.source}"
        source = "questions that people asked" if kind == USED else source
        yield kind_check(kind, found, source, max_loss=max_loss)


def kind_check(kind: str, found: KindComparison, source: str, *, max_loss: float) -> GateCheck:
    """Return whether the questions of one kind are answered well enough.

    Args:
        kind: The kind of questions.
        found: How both generations answer them.
        source: What they are, for people.
        max_loss: How much lower nDCG@10 may be, in [0, 1].
    """
    one = found.differences[METRIC]
    lost = one.difference.value < -max_loss
    chance = lost and one.p > CHANCE
    detail = (
        f"{METRIC} {found.old[METRIC]:.4f} before, {found.new[METRIC]:.4f} after: {one.difference.value:+.4f} (95 % "
        f"interval {one.difference.low:+.4f} to {one.difference.high:+.4f}) over {one.queries} {source}"
    )
    return GateCheck(kind, not lost or chance, f"{detail}{'; may be chance' if chance else ''}")
