"""Kill an instant upgrade, and its abort, at every event: ``python tests/instant_kills.py OLD NEW DIRECTORY``.

Prints one JSON object a kill: the job, what it was about to do, and what was wrong afterwards.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from test_faults import Trial, forked

from docsim.encoding.encoder import Encoder
from docsim.index import Index
from docsim.maintenance import verify
from docsim.models import Document
from docsim.reindex.instant import upgrade
from docsim.reindex.reindexing import abort

TEXTS = [f"{first} {second} {third}" for first in ("soup", "keys", "garden") for second in ("water", "team", "page")
         for third in ("restore", "holiday", "train", "cat", "dog", "house", "server")]  # fmt: skip


def examine(path: Path, names: tuple[str, str], again: Callable[[], object], ending: bool) -> None:
    """Assert that one of the two encoders answers, and the right one after the job was run again."""
    with Index.open(path) as index:
        check(index, names)
        again()
        check(index, names, ending=ending)
    leftovers = [one.name for one in path.rglob("*.tmp")]
    assert not leftovers, f"left behind: {leftovers}"


def check(index: Index, names: tuple[str, str], *, ending: bool | None = None) -> None:
    problems = verify.problems(index)
    assert problems == [], problems
    for number in (0, 20, 40):
        result = index.search(TEXTS[number])
        assert result.encoder == names[result.adapter], "an encoder is told that did not answer"
        assert (result.generation, len(result.hits), result.hits[0].id) == (1, 10, f"d{number}")
        assert ending is None or result.adapter == ending


def opened(path: Path, work: Callable[[Index], object]) -> object:
    with Index.open(path) as index:
        return work(index)


def main() -> None:
    """Kill each job at its first event, its second, and so on, until it finishes."""
    import sqlite_utils.migrations  # noqa: F401 - takes seconds, so before any fork

    old, new, directory = Encoder.load(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    names = (old.fingerprint, Encoder.load(new).fingerprint)
    with Index.create(directory / "old", encoder=old) as index:
        index.sync([Document(f"d{number}", text) for number, text in enumerate(TEXTS)])
    shutil.copytree(directory / "old", directory / "new")
    assert opened(directory / "new", lambda index: upgrade(index, Encoder.load(new)))
    path, log = directory / "index", directory / "log"
    jobs: dict[str, tuple[Path, Callable[[], object], bool]] = {
        "upgrade": (directory / "old", lambda: opened(path, lambda index: upgrade(index, Encoder.load(new))), True),
        "abort": (directory / "new", lambda: opened(path, abort), False),
    }
    for name, (prepared, job, ending) in jobs.items():
        for event in itertools.count(1):
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(prepared, path)
            killed = Trial(event=event).run(job, log)  # type: ignore[arg-type]  # what it returns is not looked at
            problem = found_wrong(lambda: examine(path, names, job, ending), directory)  # noqa: B023 - called at once
            sys.stdout.write(json.dumps({"job": name, "at": log.read_text(), "problem": problem}) + "\n")
            sys.stdout.flush()
            if not killed:
                break


def found_wrong(look: Callable[[], None], directory: Path) -> str:
    """Look from another process, as threads do not survive a fork; return what it says was wrong."""

    def looking() -> None:
        with (directory / "problem").open("w") as problem:
            os.dup2(problem.fileno(), 2)
            try:
                look()
            except BaseException:
                traceback.print_exc()
                raise

    _, status = os.waitpid(forked(looking), 0)
    return (directory / "problem").read_text()[-1500:] if status else ""


if __name__ == "__main__":
    main()
