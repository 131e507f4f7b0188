"""Leaderboards: what a sweep tried and how it did, as numbers for programs and as a picture for people.

leaderboard.json   everything measured, the best first
leaderboard.png    quality against speed
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docsim.files import replacing
from docsim.rendering import plots

__all__ = ["FORMAT", "JSON_FILE", "PLOT_FILE", "Entry", "Failed", "interval", "ordered", "write_leaderboard"]

FORMAT = 1
"""Version of ``leaderboard.json``."""

JSON_FILE = "leaderboard.json"
PLOT_FILE = "leaderboard.png"

_RESAMPLES = 2000
_MARKERS = "osD^vP*X"


@dataclass(frozen=True, slots=True)
class Entry:
    """A trial that ended well.

    Attributes:
        number: The trial's, from 0, in the order tried.
        tower: Kind of the tower.
        start: Where training started: ``default``, ``scratch`` or the directory of an encoder.
        settings: Hyper-parameters by name.
        metric: What the probe found of the kept weights, higher is better.
        low: Lower end of the metric's 95 % interval.
        high: Its upper end.
        before: What the probe found before the first step.
        texts_per_second: How many texts the saved encoder encodes in a second.
        megabytes: Size of the saved encoder, in 10^6 bytes.
        steps: Steps after which the kept weights were reached.
        seconds: What the trial took, saving and measuring included.
        fingerprint: The saved encoder's.
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
class Failed:
    """A trial that could not be trained.

    Attributes:
        number: The trial's.
        settings: What was tried, by name.
        reason: Why it failed, for people; empty for one that was killed.
    """

    number: int
    settings: Mapping[str, Any]
    reason: str


def interval(values: NDArray[np.float64], *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a mean (Efron and Tibshirani 1993, chapter 13).

    Args:
        values: One number per held-out document, ``(documents,)``.
        seed: Of the resampling.
    """
    random = np.random.default_rng(seed)
    means = [values[random.integers(0, len(values), len(values))].mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def ordered(entries: Sequence[Entry]) -> list[Entry]:
    """Return entries with the best metric first; of equals, the one tried first."""
    return sorted(entries, key=lambda entry: (-entry.metric, entry.number))


def write_leaderboard(
    directory: Path, entries: Sequence[Entry], failed: Sequence[Failed], *, probe: str, facts: Mapping[str, Any]
) -> None:
    """Write ``leaderboard.json`` and ``leaderboard.png``, in the place of earlier ones.

    Args:
        directory: Made when missing.
        entries: Trials that ended well, at least one.
        failed: The others.
        probe: What the metric is, for people.
        facts: What else is to be told, by name; JSON values.
    """
    directory.mkdir(parents=True, exist_ok=True)
    board = ordered(entries)
    content = {
        "format": FORMAT,
        **facts,
        "metric": probe,
        "best": board[0].number,
        "trials": [asdict(entry) for entry in board],
        "failed": [asdict(one) for one in failed],
    }
    told = (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
    for name, written in ((JSON_FILE, told), (PLOT_FILE, _plot(board, probe))):
        with replacing(directory / name) as file:
            file.write(written)


def _scatter(axis: Any, board: Sequence[Entry]) -> None:
    """Draw all entries with their intervals."""
    towers, starts = (sorted({getattr(entry, name) for entry in board}) for name in ("tower", "start"))
    for tower, start in sorted({(entry.tower, entry.start) for entry in board}):
        chosen = [entry for entry in board if (entry.tower, entry.start) == (tower, start)]
        axis.errorbar(
            [entry.texts_per_second for entry in chosen],
            [entry.metric for entry in chosen],
            yerr=[[max(0.0, e.metric - e.low) for e in chosen], [max(0.0, e.high - e.metric) for e in chosen]],
            fmt=_MARKERS[starts.index(start) % len(_MARKERS)],
            color=f"C{towers.index(tower)}",
            alpha=0.8,
            elinewidth=0.7,
            label=f"{tower} from {Path(start).name}",
        )


def _plot(board: Sequence[Entry], probe: str) -> bytes:
    """Return a PNG of metric against speed: a colour per kind of tower, a shape per start, the best one ringed."""
    figure = plots.blank((9, 5))
    axis = figure.subplots()
    _scatter(axis, board)
    best = board[0]
    ring: dict[str, Any] = {"marker": "o", "markersize": 16, "fillstyle": "none", "color": "black", "linestyle": "none"}
    axis.plot([best.texts_per_second], [best.metric], label="best", **ring)
    axis.set(
        xscale="log", xlabel="texts encoded per second", ylabel=f"{probe}, 95 % interval", title="Quality against speed"
    )
    figure.legend(loc="outside right upper", fontsize="small")
    target = BytesIO()
    figure.savefig(target, format="png", dpi=110)
    return target.getvalue()
