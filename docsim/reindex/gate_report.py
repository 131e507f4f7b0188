"""Gate reports: compare two generations, in a file for programs and on a page for people.

report.json    everything that was measured
report.html    the same on one self-contained page, with a histogram of the similarities
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from docsim.engine.records import Generation
from docsim.errors import StoreError
from docsim.evaluation.significance import RunComparison
from docsim.reindex.gate import METRIC, KindComparison, Quality, Verdict
from docsim.reindex.made_questions import SPANS
from docsim.reindex.mapped_recall import MappedRecall
from docsim.reindex.questions import USED, Answer
from docsim.rendering import pages, plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMAT", "GateReport", "numbers", "read", "write"]

FORMAT = 2
"""Version of ``report.json``."""

_WITHOUT_CHECKSUM = 1

_K = 10  # leading hits that are compared and shown
_LISTED = 5  # how many of the questions that gained or lost most are listed
_QUANTILES = (1, 5, 25, 50, 75, 95, 99)
_BINS = 60


@dataclass(frozen=True, slots=True)
class GateReport:
    """The contents of a report.

    Attributes:
        old: The live generation.
        new: The generation that was checked.
        verdict: The result of the checks.
        threshold: The similarity above which the user accepts hits, or None; the report translates it for the new
            generation.
        mapped: How well the mapped embeddings answered in the meantime; None if there were none.
    """

    old: Generation
    new: Generation
    verdict: Verdict
    threshold: float | None = None
    mapped: MappedRecall | None = None


def numbers(found: GateReport) -> dict[str, Any]:
    """Return everything in a report as JSON values."""
    verdict, quality = found.verdict, found.verdict.quality
    told: dict[str, Any] = {
        "format": FORMAT,
        "passed": verdict.passed,
        "refusal": verdict.refusal,
        "max_loss": verdict.max_loss,
        "old": _about(found.old),
        "new": _about(found.new),
        "checks": [asdict(check) for check in verdict.checks],
        "quality": None,
        "adapter": asdict(found.mapped) if found.mapped else None,
    }
    return told | _compared(quality, found.threshold) if quality else told


def write(directory: Path, found: GateReport) -> None:
    """Write the files of a report; they replace those of an earlier report.

    Raises:
        StoreError: They cannot be written.
    """
    told = numbers(found)
    text = json.dumps(told | {"checksum": _checksum(told)}, indent=2, ensure_ascii=False) + "\n"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "report.html").write_text(_page(told, found.verdict.quality), encoding="utf-8")
        (directory / "report.json").write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"could not write the report to {directory}: {error.strerror}; nothing was published"
        ) from error


def read(directory: Path) -> dict[str, Any] | None:
    """Return everything in a report, as ``numbers`` gave it; None if there is none.

    Raises:
        StoreError: It is damaged.
    """
    try:
        told = json.loads((directory / "report.json").read_text(encoding="utf-8"))
        checksum = told.pop("checksum", None)
        if checksum == _checksum(told) or (checksum is None and told["format"] == _WITHOUT_CHECKSUM):
            return dict(told)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):  # whatever damage makes of it
        pass
    raise StoreError(f"the report in {directory} is damaged; what it says cannot be trusted")


def _checksum(told: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _about(generation: Generation) -> dict[str, Any]:
    names = ("number", "encoder", "fingerprint", "dim", "created")
    return {name: getattr(generation, name) for name in names}


def _compared(quality: Quality, threshold: float | None) -> dict[str, Any]:
    old, new = (_similarities(answers) for answers in (quality.old_answers, quality.new_answers))
    shared = [_overlap(quality.old_answers[id], quality.new_answers[id]) for id in quality.old_answers]
    return {
        "quality": {
            "source": quality.questions.source,
            "questions": quality.old.queries,
            "metrics": {name: _metric(quality, name) for name in quality.differences},
            "kinds": {kind: _kind(found) for kind, found in quality.kinds.items()},
        },
        "overlap": {"k": _K, "mean": float(np.mean(shared)), "same": float(np.mean(np.array(shared) == 1))},
        "similarity": {"old": _distribution(old), "new": _distribution(new)},
        "threshold": None if threshold is None else _mapped(threshold, old, new),
        "gained": _changed(quality, sign=1),
        "lost": _changed(quality, sign=-1),
        "asked": _asked(quality),
    }


def _kind(found: KindComparison) -> dict[str, Any]:
    metrics = {name: _difference(one, found.old[name], found.new[name]) for name, one in found.differences.items()}
    return {"questions": found.differences[METRIC].queries, "metrics": metrics}


def _metric(quality: Quality, name: str) -> dict[str, Any]:
    old, new = (report.metrics[name].value for report in (quality.old, quality.new))
    return _difference(quality.differences[name], old, new)


def _difference(one: RunComparison, old: float, new: float) -> dict[str, Any]:
    return {
        "old": old,
        "new": new,
        "difference": one.difference.value,
        "interval": [one.difference.low, one.difference.high],
        "p": one.p,
    }


def _similarities(answers: Mapping[str, Answer]) -> NDArray[np.float64]:
    """Return the similarities of all documents in some answers, ``float64 (n,)``."""
    return np.array([one.similarity for found in answers.values() for one in found])


def _overlap(old: Answer, new: Answer) -> float:
    """Return the share of the leading hits that two answers have in common, in [0, 1]."""
    first, second = ({one.id for one in found[:_K]} for found in (old, new))
    return len(first & second) / max(len(first), len(second), 1)


def _distribution(similarities: NDArray[np.float64]) -> dict[str, Any]:
    values = np.percentile(similarities, _QUANTILES)
    return {"mean": float(similarities.mean()), "percentiles": dict(zip(map(str, _QUANTILES), values, strict=True))}


def _mapped(threshold: float, old: NDArray[np.float64], new: NDArray[np.float64]) -> dict[str, float]:
    """Return the similarity that the same share of new hits reaches as reached the threshold before."""
    share = float((old >= threshold).mean())
    return {"old": threshold, "new": float(np.quantile(new, 1 - share)), "share": share}


def _asked(quality: Quality) -> dict[str, list[str]] | None:
    """Return which of the questions that people asked gained and lost, most first; None where none were asked."""
    if USED not in quality.kinds:
        return None
    texts, kinds = quality.questions.texts, quality.questions.kinds
    return {
        name: [texts[id] for id in _by_change(quality, sign) if kinds[id] == USED]
        for name, sign in (("gained", 1), ("lost", -1))
    }


def _by_change(quality: Quality, sign: int) -> list[str]:
    """Return the ids of the questions that gained (``sign`` 1) or lost (-1), most first."""
    old, new = quality.old.per_query, quality.new.per_query
    changes = {id: sign * (new[id][METRIC] - old[id][METRIC]) for id in old}
    return sorted((id for id in changes if changes[id] > 0), key=lambda id: (-changes[id], id))


def _changed(quality: Quality, *, sign: int) -> list[dict[str, Any]]:
    """Return the questions that gained (``sign`` 1) or lost (-1) most, with the answers of both generations.

    Spans are listed only where there are no questions, as they begin and end anywhere in a text.
    """
    changed = _by_change(quality, sign)
    readable = {id for id, kind in quality.questions.kinds.items() if kind != SPANS} & set(quality.old.per_query)
    chosen = [id for id in changed if not readable or id in readable][:_LISTED]
    old, new = quality.old.per_query, quality.new.per_query
    return [
        {
            "id": id,
            "text": quality.questions.texts[id],
            "relevant": [one for one, grade in quality.questions.qrels[id].items() if grade >= 1],
            METRIC: [old[id][METRIC], new[id][METRIC]],
            "old": [asdict(one) for one in quality.old_answers.get(id, ())[:_K]],
            "new": [asdict(one) for one in quality.new_answers.get(id, ())[:_K]],
        }
        for id in chosen
    ]


def _page(told: Mapping[str, Any], quality: Quality | None) -> str:
    old, new = told["old"], told["new"]
    head = {
        "verdict": "passed" if told["passed"] else "not passed",
        "live": f"generation {old['number']}: {old['encoder']}, {old['dim']} dimensions, {old['fingerprint'][:12]}",
        "new": f"generation {new['number']}: {new['encoder']}, {new['dim']} dimensions, {new['fingerprint'][:12]}",
    }
    rows = [(one["name"], "yes" if one["passed"] else "NO", one["detail"]) for one in told["checks"]]
    body = pages.facts(head) + "<h2>Checks</h2>" + pages.table(("", "passed", "found"), rows)
    if told["adapter"] is not None:
        body += _mapping(told["adapter"])
    if quality is not None:
        body += _quality(told) + _similarities_drawn(quality)
        body += (
            _threshold(told["threshold"])
            + _named(told["asked"])
            + "".join(
                f"<h2>{title}</h2>" + "".join(map(_question, told[name]))
                for name, title in (("lost", "Questions that lost most"), ("gained", "Questions that gained most"))
            )
        )
    return pages.page(f"From generation {old['number']} to {new['number']}", body)


def _similarities_drawn(quality: Quality) -> str:
    if not plots.can_draw():
        return (
            "<p>The histogram of similarities is missing, because matplotlib is not installed: "
            'pip install "docsim[map]". The numbers are in report.json.</p>'
        )
    return pages.picture(plots.png(_histogram(quality)), "Similarities of the documents found")


def _mapping(found: Mapping[str, Any]) -> str:
    return (
        f"<p>While it was built, the new encoder answered over embeddings mapped from the live generation, by an "
        f"alignment learned from {found['passages']} passages. For {found['queries']} queries, it found "
        f"{found['recall']:.1%} of the {found['k']} documents that the new generation finds; the old encoder finds "
        f"{found['before']:.1%} of them.</p>"
    )


def _quality(told: Mapping[str, Any]) -> str:
    quality, overlap = told["quality"], told["overlap"]
    tables = "".join(
        f"<h2>{kind.capitalize()}: {one['questions']} {quality['source']}</h2>"
        + pages.table(("", "live", "new", "difference", "95 % interval", "p"), map(_row, one["metrics"].items()))
        for kind, one in quality["kinds"].items()
    )
    return (
        f"{tables}<p>Both generations have {overlap['mean']:.0%} of the first {overlap['k']} hits in common; for "
        f"{overlap['same']:.0%} of the questions, all of them.</p>"
    )


def _row(metric: tuple[str, Mapping[str, Any]]) -> tuple[str, ...]:
    name, one = metric
    low, high = one["interval"]
    values = (f"{one['old']:.4f}", f"{one['new']:.4f}", f"{one['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}")
    return (name, *values, f"{one['p']:.4f}")


def _threshold(mapped: Mapping[str, float] | None) -> str:
    if mapped is None:
        return ""
    return (
        f"<p>{mapped['share']:.1%} of the live generation's hits reach the similarity threshold of "
        f"{mapped['old']:.3f}; the same share of the new hits reaches {mapped['new']:.3f}.</p>"
    )


def _named(asked: Mapping[str, Sequence[str]] | None) -> str:
    """Return the questions of people that gained and lost."""
    return "".join(
        f"<h2>Questions that people asked and that {name} ({len(texts)})</h2>"
        f"<ul>{''.join(f'<li>{html.escape(text)}</li>' for text in texts)}</ul>"
        for name, texts in (asked or {}).items()
    )


def _question(one: Mapping[str, Any]) -> str:
    def hits(found: Sequence[Mapping[str, Any]]) -> list[str]:
        return [f"{hit['similarity']:.3f}  {hit['id']}{' *' if hit['id'] in one['relevant'] else ''}" for hit in found]

    old, new = hits(one["old"]), hits(one["new"])
    longest = max(len(old), len(new))
    rows = zip(old + [""] * (longest - len(old)), new + [""] * (longest - len(new)), strict=True)
    before, after = one[METRIC]
    change = f"{METRIC} {before:.3f} before, {after:.3f} after; * marks relevant documents"
    head = f"<h3>{html.escape(one['text'])}</h3><p>{change}</p>"
    return head + pages.table(("live", "new"), rows)


def _histogram(quality: Quality) -> Figure:
    """Draw the distributions of the similarities of the leading hits, old and new in one histogram."""
    drawn, (axis,) = plots.axes_of(1, width=8)
    bins = np.linspace(-0.2, 1, _BINS).tolist()
    for answers, name in ((quality.old_answers, "live"), (quality.new_answers, "new")):
        first = [one.similarity for found in answers.values() for one in found[:_K]]
        axis.hist(first, bins=bins, density=True, histtype="stepfilled", alpha=0.6, label=name)
    axis.set(xlabel=f"similarity of the first {_K} hits", yticks=[])
    axis.legend(loc="upper left")
    return drawn
