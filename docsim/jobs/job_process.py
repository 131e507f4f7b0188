"""Jobs in a process of their own: training and re-indexing for a server, which goes on answering meanwhile.

``python -m docsim.jobs.job_process`` reads one line of JSON from standard input: what to do. It writes lines of JSON
to standard output: how far it is, and at last what came of it, or why nothing did. It ends when standard input does, so
that nothing goes on once the server is gone.

What is asked for names generations by number, so that a job which is done twice has the same outcome as one done once.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from docsim import threads
from docsim.encoding.encoder import Encoder
from docsim.errors import DocsimError, UsageError
from docsim.index import Index
from docsim.progress import Progress, Total, counted
from docsim.reindex import gate_report, generations, reindexing
from docsim.reindex.examination import GateOptions
from docsim.reindex.reindexing import Reindexed

__all__ = ["KINDS", "carry_out"]

KINDS = ("publish", "rollback", "reindex", "adapt")
"""What can be asked for."""

_PAUSE = 0.2
"""Seconds between two lines that say how far a job is."""


class _Told:
    """Writes how far a job is, a line of JSON now and then."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._held: dict[str, Any] = {"step": "starting", "done": 0, "total": None, "measured": None}
        self._written = 0.0

    def say(self, text: str) -> None:
        self._tell(step=text)

    def begin(self, task: str, total: Total, done: int = 0) -> None:
        self._tell(step=task, done=done, total=counted(total), measured=None)

    def advance(self, count: int = 1) -> None:
        self._tell(done=self._held["done"] + count, at_once=False)

    def measure(self, text: str) -> None:
        self._tell(measured=text, at_once=False)

    def _tell(self, *, at_once: bool = True, **changed: Any) -> None:
        self._held |= changed
        if at_once or time.monotonic() - self._written >= _PAUSE:
            self._written = time.monotonic()
            _write(self._out, {"progress": self._held})


def carry_out(index: Index, kind: str, asked: Mapping[str, Any], progress: Progress) -> Reindexed:
    """Do what is asked for.

    Args:
        index: The index.
        kind: One of ``KINDS``.
        asked: ``generation`` to publish or to go back to; ``encoder`` or ``dim`` to re-index with, neither to go on
            with what was begun; ``time_limit`` and ``seed`` to adapt; ``max_loss`` and ``publish_anyway`` for the gate.
        progress: Told how far it is.

    Raises:
        UsageError: There is no such generation or encoder.
        DocsimError: It cannot be done.
    """
    gate = GateOptions(**{name: asked[name] for name in ("max_loss", "publish_anyway") if name in asked})
    match kind:
        case "rollback":
            return generations.rollback(index, to=asked["generation"], wait=True, progress=progress)
        case "publish":
            return _published(index, asked["generation"], gate, progress)
        case "reindex":
            return reindexing.reindex(index, _encoder(asked), gate=gate, wait=True, progress=progress)
        case "adapt":
            from docsim.jobs import adapt  # here, as it needs the extra train

            how = adapt.AdaptOptions(
                time_limit=asked.get("time_limit"), seed=asked.get("seed", 0), gate=gate, wait=True
            )
            return adapt.adapt(index, how, progress=progress).reindexed
    raise UsageError(f"expected one of {', '.join(KINDS)}, got {kind!r}")


def _published(index: Index, number: int, gate: GateOptions, progress: Progress) -> Reindexed:
    """Publish the generation that is being built, if it passes, or anyway if that is asked for and it is sound."""
    live = index.generation().number
    if number == live:  # it was published when this was done before
        return Reindexed(live, live, True, 0, 0.0)
    building = [one.generation.number for one in index.engine.generations() if one.generation.state == "building"]
    if number not in building:
        found = f"generation {building[0]}" if building else "none"
        raise UsageError(f"expected a generation that waits to be published, got {number}; found {found}")
    return reindexing.reindex(index, None, gate=gate, wait=True, progress=progress)


def _encoder(asked: Mapping[str, Any]) -> Encoder | None:
    if asked.get("encoder"):
        return Encoder.load(Path(asked["encoder"]), dim=asked.get("dim"))
    return Encoder.default(dim=asked["dim"]) if asked.get("dim") else None


def _result(done: Reindexed) -> dict[str, Any]:
    """Return how a job ended, as ``docsim reindex --json`` prints it, without the gate's own report."""
    names = ("generation", "previous", "published", "embedded", "seconds", "unchanged")
    told = {name: getattr(done, name) for name in names} | {"refusal": None, "metrics": {}}
    if done.gate:
        quality = gate_report.numbers(done.gate).get("quality") or {}
        told["refusal"] = None if done.published else done.gate.verdict.refusal
        told["metrics"] = {name: [one["old"], one["new"]] for name, one in quality.get("metrics", {}).items()}
    return told


def _write(out: IO[str], line: object) -> None:
    out.write(json.dumps(line, ensure_ascii=False) + "\n")
    out.flush()


def _end_with(given: IO[str]) -> None:
    """End the process as soon as there is nobody who could read what comes of it."""
    given.read()
    os._exit(3)


def main() -> None:
    """Read what to do, do it, and tell what came of it."""
    out, given = os.fdopen(os.dup(1), "w", encoding="utf-8"), sys.stdin
    os.dup2(2, 1)  # what libraries print is no answer
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")
    with contextlib.suppress(AttributeError, OSError):
        os.nice(10)  # answers come first
    asked = json.loads(given.readline())
    threads.start(_end_with, given)
    try:
        with Index.open(asked["index"]) as index:
            done = carry_out(index, asked["kind"], asked["asked"], _Told(out))
            with index.engine.snapshot() as snapshot:
                _write(out, {"result": _result(done) | {"revision": snapshot.revision}})
    except DocsimError as error:
        _write(out, {"error": str(error)})
    except Exception:
        logging.getLogger(__name__).exception("the job failed")
        _write(out, {"error": "this should not happen; the server's log says why"})
    out.close()
    os._exit(0)  # the thread above still waits for the end of standard input


if __name__ == "__main__":
    main()
