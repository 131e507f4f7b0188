"""Reports of a training: numbers for programs, pictures for people.

report.json        everything measured
curves.png         loss and probe over steps
similarities.png   similarities of texts that belong together and of texts that do not, before and after
map.png            held-out texts in two dimensions, before and after
report.html        all of this on one page that needs no other file
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from docsim.analysis.layout import plane
from docsim.rendering import pages
from docsim.rendering.plots import axes_of, png
from docsim.training.loop.checkpoint import ProgressPoint
from docsim.training.loop.probe import EmbeddedSample, Probe, Similarities
from docsim.training.loop.trainer import TrainingResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMAT", "TowerSnapshot", "take_snapshot", "write_report"]

FORMAT = 1
"""Version of ``report.json``."""

_MAX_GROUPS = 8  # with a colour of their own
_BINS = 60
_PICTURES = {
    "curves.png": "Loss and probe over steps",
    "similarities.png": "Similarities, before and after: texts that belong together, and texts that do not",
    "map.png": "Held-out texts in two dimensions, before and after",
}


@dataclass(frozen=True, slots=True)
class TowerSnapshot:
    """What the pictures show of a tower at one moment."""

    similarities: Similarities
    sample: EmbeddedSample


def take_snapshot(tower: keras.Model, probe: Probe) -> TowerSnapshot:
    """Return what the pictures show of a tower."""
    return TowerSnapshot(probe.similarities(tower), probe.sample(tower))


def write_report(
    directory: Path,
    result: TrainingResult,
    *,
    before: TowerSnapshot,
    after: TowerSnapshot,
    probe: str,
    facts: Mapping[str, object],
) -> None:
    """Write a report, replacing an earlier one.

    Args:
        directory: Directory of the report; created if missing.
        result: How the training went.
        before: The tower before training.
        after: The tower with the weights that were kept.
        probe: Name of the probe.
        facts: Further facts by name; JSON values.
    """
    directory.mkdir(parents=True, exist_ok=True)
    pictures = {
        "curves.png": png(_curves(result.points, result.best, probe)),
        "similarities.png": png(_histograms(before.similarities, after.similarities)),
        "map.png": png(_maps(before.sample, after.sample)),
    }
    similarities = {"before": _summary(before.similarities), "after": _summary(after.similarities)}
    numbers = {"format": FORMAT, **facts, **_numbers(result, probe), "similarities": similarities}
    for name, content in pictures.items():
        (directory / name).write_bytes(content)
    (directory / "report.json").write_text(json.dumps(numbers, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    page = _page(result, pictures, probe=probe, facts=facts)
    (directory / "report.html").write_text(page, encoding="utf-8")


def _numbers(result: TrainingResult, probe: str) -> dict[str, object]:
    """Return how a training went, as JSON values."""
    return {
        "ended": result.ended,
        "best": asdict(result.best),
        "probe": {"name": probe, "before": result.points[0].probe, "after": result.best.probe},
        "points": [asdict(point) for point in result.points],
    }


def _summary(similarities: Similarities) -> dict[str, float] | None:
    """Return both means, and the area under the ROC curve: how likely a positive is more similar than a negative.

    None if there are no positives or no negatives, for instance if all held-out scores are high.
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


def _curves(points: Sequence[ProgressPoint], best: ProgressPoint, probe: str) -> Figure:
    figure, (left, right) = axes_of(2)
    losses = [(point.step, point.loss) for point in points if point.loss is not None]
    left.plot([step for step, _ in losses], [loss for _, loss in losses], marker=".")
    left.set(title="loss", xlabel="steps")
    right.plot([point.step for point in points], [point.probe for point in points], marker=".")
    right.plot([best.step], [best.probe], marker="o", linestyle="none", label="kept")
    right.set(title=probe, xlabel="steps")
    right.legend(loc="lower right")
    return figure


def _histograms(before: Similarities, after: Similarities) -> Figure:
    figure, axes = axes_of(2)
    lowest = min(float(side.min(initial=0.0)) for one in (before, after) for side in (one.positives, one.negatives))
    bins = np.linspace(max(-1.0, lowest), 1, _BINS)
    for axis, name, one in zip(axes, ("before", "after"), (before, after), strict=True):
        for side, label in ((one.negatives, "others"), (one.positives, "belong together")):
            if len(side):
                axis.hist(side, bins=bins, density=True, histtype="stepfilled", alpha=0.6, label=label)
        axis.set(title=name, xlabel="similarity", ylabel="share of pairs", yticks=[])
        axis.legend(loc="upper center")
    return figure


def _maps(before: EmbeddedSample, after: EmbeddedSample) -> Figure:
    figure, axes = axes_of(2)
    common = [group for group, _ in Counter(after.groups).most_common(_MAX_GROUPS)]
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


def _page(result: TrainingResult, pictures: Mapping[str, bytes], *, probe: str, facts: Mapping[str, object]) -> str:
    shown = {
        **facts,
        "ended": result.ended,
        "steps kept": result.best.step,
        f"{probe}, before": f"{result.points[0].probe:.4f}",
        f"{probe}, after": f"{result.best.probe:.4f}",
    }
    pictures_shown = "".join(pages.picture(pictures[name], title) for name, title in _PICTURES.items())
    measured = pages.table(("Steps", "Loss", probe, "Seconds"), map(_row, result.points))
    title = f"Training of {facts.get('name', 'an encoder')}"
    return pages.page(title, pages.facts(shown) + pictures_shown + "<h2>Measurements</h2>" + measured)


def _row(point: ProgressPoint) -> tuple[str, ...]:
    loss = "" if point.loss is None else f"{point.loss:.4f}"
    return str(point.step), loss, f"{point.probe:.4f}", f"{point.seconds:.1f}"
