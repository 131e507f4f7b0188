"""Run contenders as processes, in turn, and compare what they took."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

MEGABYTE = 1_000_000 if sys.platform == "darwin" else 1_000
"""Units of ``ru_maxrss`` in a megabyte: the system counts bytes on macOS and kilobytes elsewhere."""


@dataclass(frozen=True)
class Run:
    """One process from start to end.

    ``wall_s`` and ``cpu_s`` are seconds, ``cpu_s`` summed over cores and children; ``peak_mb`` is the largest resident
    set of any one process; ``answer`` is what the process itself measured, printed as a line of JSON.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    answer: dict[str, Any]


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Run:
    """Run a command and measure it.

    The measuring process has to stay small: the system counts its size at the fork to the child's peak.

    Raises:
        RuntimeError: The command failed; the message ends with what it said.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        variables = {**os.environ, **(environment or {})}
        started = time.perf_counter()
        process = subprocess.Popen(list(map(str, command)), stdout=output, stderr=errors, env=variables)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said = _text(errors)[-2000:] or _text(output)[-2000:]
            raise RuntimeError(f"{' '.join(map(str, command))} ended with {process.returncode}: {said}")
        cpu = usage.ru_utime + usage.ru_stime
        return Run(wall, cpu, usage.ru_maxrss / MEGABYTE, _answer(_text(output)))


def in_turn(contenders: Mapping[str, Callable[[int], Run]], rounds: int) -> dict[str, list[Run]]:
    """Run every contender once a round, always in the order given, so that a slow minute hits all of them."""
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, contender in contenders.items():
            runs[name].append(contender(number))
            print(f"  round {number + 1}/{rounds}  {name:<34} {runs[name][-1].wall_s:8.2f} s", file=sys.stderr)
    return runs


def median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 6)


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the medians of a contender's processes."""
    return {
        "wall_s": median([one.wall_s for one in runs]),
        "cpu_s": median([one.cpu_s for one in runs]),
        "peak_mb": median([one.peak_mb for one in runs]),
        "wall_s_of_each_round": [round(one.wall_s, 3) for one in runs],
    }


def ratio(ours: Sequence[float], theirs: Sequence[float], *, target: float | None, at_least: bool = False) -> Any:
    """Return the ratio of the medians with its target, and the lowest and highest ratio within one round."""
    each = [one / other for one, other in zip(ours, theirs, strict=True)]
    value = statistics.median(ours) / statistics.median(theirs)
    found: dict[str, Any] = {"ratio": round(value, 3), "lowest": round(min(each), 3), "highest": round(max(each), 3)}
    if target is not None:
        found |= {"target": target, "target_is": "at least" if at_least else "at most"}
    return found


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def _answer(output: str) -> dict[str, Any]:
    lines = [line for line in output.splitlines() if line.startswith("{")]
    answer = json.loads(lines[-1]) if lines else {}
    return answer if isinstance(answer, dict) else {}
