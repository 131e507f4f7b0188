"""Reports: what a training did, as numbers for programs and as pictures for people.

report.json        everything measured
curves.png         loss and probe over steps
similarities.png   similarities of texts that belong together and of texts that do not, before and after
map.png            held-out texts in two dimensions, before and after
report.html        all of it on one page that needs no other file
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from docsim.analysis.layout import plane
from docsim.rendering import pages
from docsim.rendering.plots import axes_of, png
from docsim.training.loop.checkpoint import Point
from docsim.training.loop.probe import Probe, Sample, Similarities
from docsim.training.loop.trainer import Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMAT", "Snapshot", "snapshot", "write_report"]

FORMAT = 1
"""Version of ``report.json``."""

_MOST_GROUPS = 8  # that get a colour of their own
_BINS = 60
_PICTURES = {
    "curves.png": "Loss and probe over steps",
    "similarities.png": "Similarities, before and after: texts that belong together, and texts that do not",
    "map.png": "Held-out texts in two dimensions, before and after",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A tower at one moment, as the pictures show it."""

    similarities: Similarities
    sample: Sample


def snapshot(tower: keras.Model, probe: Probe) -> Snapshot:
    """Return what the pictures show of a tower."""
    return Snapshot(probe.similarities(tower), probe.sample(tower))


def write_report(
    directory: Path, outcome: Outcome, *, before: Snapshot, after: Snapshot, probe: str, facts: Mapping[str, Any]
) -> None:
    """Write a report; files of an earlier one are replaced.

    Args:
        directory: Made when missing.
        outcome: What was measured.
        before: The tower before training.
        after: The tower that was kept.
        probe: What the probe measures, for people.
        facts: What else is to be told, by name; JSON values.
    """
    directory.mkdir(parents=True, exist_ok=True)
    pictures = {
        "curves.png": png(_curves(outcome.points, outcome.best, probe)),
        "similarities.png": png(_histograms(before.similarities, after.similarities)),
        "map.png": png(_maps(before.sample, after.sample)),
    }
    numbers = {
        "format": FORMAT,
        **facts,
        "ended": outcome.ended,
        "best": asdict(outcome.best),
        "probe": {"name": probe, "before": outcome.points[0].probe, "after": outcome.best.probe},
        "similarities": {"before": _summary(before.similarities), "after": _summary(after.similarities)},
        "points": [asdict(point) for point in outcome.points],
    }
    for name, content in pictures.items():
        (directory / name).write_bytes(content)
    (directory / "report.json").write_text(json.dumps(numbers, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    page = _page(outcome, pictures, probe=probe, facts=facts)
    (directory / "report.html").write_text(page, encoding="utf-8")


def _summary(similarities: Similarities) -> dict[str, float] | None:
    """Return means, and the area under the ROC curve: how likely a positive is more similar than a negative.

    None where there are no positives or no negatives, as where all held-out scores are high.
    """
    positives, negatives = np.sort(similarities.positives), np.sort(similarities.negatives)
    if not len(positives) or not len(negatives):
        return None
    below = np.searchsorted(negatives, positives, "left") + np.searchsorted(negatives, positives, "right")
    return {
        "positives_mean": float(positives.mean()),
        "negatives_mean": float(negatives.mean()),
        "auc": float(below.mean() / 2 / len(negatives)),
    }


def _curves(points: Sequence[Point], best: Point, probe: str) -> Figure:
    figure, (left, right) = axes_of(2)
    losses = [(point.step, point.loss) for point in points if point.loss is not None]
    left.plot([step for step, _ in losses], [loss for _, loss in losses], marker=".")
    left.set(title="loss", xlabel="steps")
    right.plot([point.step for point in points], [point.probe for point in points], marker=".")
    right.plot([best.step], [best.probe], marker="o", linestyle="none", label="kept")
    right.set(title=probe, xlabel="steps")
    right.legend()
    return figure


def _histograms(before: Similarities, after: Similarities) -> Figure:
    figure, axes = axes_of(2)
    lowest = min(float(side.min(initial=0.0)) for one in (before, after) for side in (one.positives, one.negatives))
    bins = np.linspace(max(-1.0, lowest), 1, _BINS)
    for axis, name, one in zip(axes, ("before", "after"), (before, after), strict=True):
        for side, label in ((one.negatives, "others"), (one.positives, "belong together")):
            if len(side):
                axis.hist(side, bins=bins, density=True, alpha=0.6, label=label)
        axis.set(title=name, xlabel="similarity", ylabel="share of pairs", yticks=[])
        axis.legend()
    return figure


def _maps(before: Sample, after: Sample) -> Figure:
    figure, axes = axes_of(2)
    common = [group for group, _ in Counter(after.groups).most_common(_MOST_GROUPS)]
    for axis, name, sample in zip(axes, ("before", "after"), (before, after), strict=True):
        places = plane(sample.rows)
        groups = np.array([group if group in common else "others" for group in sample.groups])
        for group in sorted(set(groups.tolist())):
            chosen = places[groups == group]
            axis.scatter(chosen[:, 0], chosen[:, 1], s=8, alpha=0.7, label=group or "no folder")
        axis.set(title=name, xticks=[], yticks=[])
    if len(set(after.groups)) > 1:
        figure.legend(*axes[-1].get_legend_handles_labels(), fontsize="small", loc="outside right upper")
    return figure


def _page(outcome: Outcome, pictures: Mapping[str, bytes], *, probe: str, facts: Mapping[str, Any]) -> str:
    told = {
        **facts,
        "ended": outcome.ended,
        "steps kept": outcome.best.step,
        f"{probe}, before": f"{outcome.points[0].probe:.4f}",
        f"{probe}, after": f"{outcome.best.probe:.4f}",
    }
    pictures_shown = "".join(pages.picture(pictures[name], title) for name, title in _PICTURES.items())
    measured = pages.table(("Steps", "Loss", probe, "Seconds"), map(_point, outcome.points))
    title = f"Training of {facts.get('name', 'an encoder')}"
    return pages.page(title, pages.facts(told) + pictures_shown + "<h2>Measurements</h2>" + measured)


def _point(point: Point) -> tuple[str, ...]:
    loss = "" if point.loss is None else f"{point.loss:.4f}"
    return str(point.step), loss, f"{point.probe:.4f}", f"{point.seconds:.1f}"
