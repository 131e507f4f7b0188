"""Leaderboards of a sweep: what was tried and with which result, as numbers for programs and a picture for people.

leaderboard.json   everything measured, the best first
leaderboard.png    quality against speed
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from docsim.files import replacing
from docsim.rendering import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "FORMAT",
    "JSON_FILE",
    "PLOT_FILE",
    "FailedTrial",
    "TrialResult",
    "bootstrap_interval",
    "ranked",
    "write_leaderboard",
]

FORMAT = 1
"""Version of ``leaderboard.json``."""

JSON_FILE = "leaderboard.json"
PLOT_FILE = "leaderboard.png"

_RESAMPLES = 2000
_MARKERS = "osD^vP*X"


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The result of a successful trial. Its fields are those of a trial in ``leaderboard.json``.

    Attributes:
        number: Number of the trial, from 0, in the order tried.
        tower: Kind of the tower.
        start: Starting point: ``default``, ``scratch`` or an encoder directory.
        settings: Hyper-parameters by name.
        metric: Value of the probe with the weights that were kept; higher is better.
        low: Lower end of the metric's 95 % confidence interval.
        high: Upper end of the metric's 95 % confidence interval.
        before: Value of the probe before the first step.
        texts_per_second: Texts that the saved encoder encodes per second.
        megabytes: Size of the saved encoder, in 10^6 bytes.
        steps: Steps after which the kept weights were reached.
        seconds: Duration of the trial, including saving and measuring.
        fingerprint: Fingerprint of the saved encoder.
    """

    number: int
    tower: str
    start: str
    settings: Mapping[str, float]
    metric: float
    low: float
    high: float
    before: float
    texts_per_second: float
    megabytes: float
    steps: int
    seconds: float
    fingerprint: str


@dataclass(frozen=True, slots=True)
class FailedTrial:
    """A trial that failed.

    Attributes:
        number: Number of the trial.
        settings: Hyper-parameters by name.
        reason: Error message; empty if the process was killed.
    """

    number: int
    settings: Mapping[str, object]
    reason: str


def bootstrap_interval(values: NDArray[np.float64], *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a mean (Efron and Tibshirani 1993, chapter 13).

    Args:
        values: One number per held-out document, ``(documents,)``.
        seed: Seed of the resampling.
    """
    random = np.random.default_rng(seed)
    means = [values[random.integers(0, len(values), len(values))].mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def ranked(results: Sequence[TrialResult]) -> list[TrialResult]:
    """Return results with the best metric first; of equal ones, the earlier trial."""
    return sorted(results, key=lambda result: (-result.metric, result.number))


def write_leaderboard(
    directory: Path,
    results: Sequence[TrialResult],
    failed: Sequence[FailedTrial],
    *,
    probe: str,
    facts: Mapping[str, object],
) -> None:
    """Write ``leaderboard.json`` and ``leaderboard.png``, replacing earlier ones.

    Args:
        directory: Directory of the files; created if missing.
        results: Successful trials, at least one.
        failed: Trials that failed.
        probe: Name of the metric.
        facts: Further facts by name; JSON values.
    """
    directory.mkdir(parents=True, exist_ok=True)
    board = ranked(results)
    content = {
        "format": FORMAT,
        **facts,
        "metric": probe,
        "best": board[0].number,
        "trials": [asdict(result) for result in board],
        "failed": [asdict(trial) for trial in failed],
    }
    content_bytes = (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
    for name, written in ((JSON_FILE, content_bytes), (PLOT_FILE, _plot(board, probe))):
        with replacing(directory / name) as file:
            file.write(written)


def _scatter(axis: Axes, board: Sequence[TrialResult]) -> None:
    """Draw all results with their intervals."""
    towers, starts = (sorted({getattr(result, name) for result in board}) for name in ("tower", "start"))
    for tower, start in sorted({(result.tower, result.start) for result in board}):
        chosen = [result for result in board if (result.tower, result.start) == (tower, start)]
        axis.errorbar(
            [result.texts_per_second for result in chosen],
            [result.metric for result in chosen],
            yerr=[[max(0.0, r.metric - r.low) for r in chosen], [max(0.0, r.high - r.metric) for r in chosen]],
            fmt=_MARKERS[starts.index(start) % len(_MARKERS)],
            color=f"C{towers.index(tower)}",
            alpha=0.8,
            elinewidth=0.7,
            label=f"{tower} from {Path(start).name}",
        )


def _plot(board: Sequence[TrialResult], probe: str) -> bytes:
    """Return a PNG of metric against speed: a colour per kind of tower, a marker per start, a ring on the best."""
    figure = plots.blank((9, 5))
    axis = figure.subplots()
    _scatter(axis, board)
    best = board[0]
    axis.plot(
        [best.texts_per_second],
        [best.metric],
        label="best",
        marker="o",
        markersize=16,
        fillstyle="none",
        color="black",
        linestyle="none",
    )
    axis.set(
        xscale="log", xlabel="texts encoded per second", ylabel=f"{probe}, 95 % interval", title="Quality against speed"
    )
    figure.legend(loc="outside right upper", fontsize="small")
    target = BytesIO()
    figure.savefig(target, format="png", dpi=110)
    return target.getvalue()
