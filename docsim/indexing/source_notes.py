"""Notes about sources: how each was read the last time, what was left out of it, and which files it had.

They are kept beside the documents and change no answer. Of very many files that were left out, all are counted and the
first are listed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from docsim.engine.base import Engine
from docsim.models import LeftOut

__all__ = ["LISTED", "SourceNote", "files", "keep", "keep_files", "note"]

LISTED = 10_000
"""The most files left out of a source that are listed."""


@dataclass(frozen=True, slots=True)
class SourceNote:
    """What is known about a source beside its documents.

    Attributes:
        reading: How it was read, as ``docsim.ingest.sources.ReadingOptions.written`` gives it.
        counts: How many files and folders were left out, by reason, the most first.
        left_out: The first of them.
    """

    reading: str = ""
    counts: dict[str, int] | None = None
    left_out: tuple[LeftOut, ...] = ()

    @property
    def form(self) -> str:
        """The form that it was read in; empty for a plain folder or file."""
        return str(json.loads(self.reading or "{}").get("form") or "")


def note(engine: Engine, source: int) -> SourceNote:
    """Return what was noted about a source, by its number."""
    found = json.loads(engine.note(_key(source)) or "{}")
    listed = tuple(LeftOut(*one) for one in found.get("left_out", ()))
    return SourceNote(found.get("reading", ""), found.get("counts", {}), listed)


def keep(engine: Engine, source: int, *, reading: str, left_out: Sequence[LeftOut]) -> None:
    """Note how a source was read, and what was left out of it."""
    counts = dict(Counter(one.reason for one in left_out).most_common())
    listed = [[one.path, one.reason] for one in left_out[:LISTED]]
    written = json.dumps({"reading": reading, "counts": counts, "left_out": listed}, ensure_ascii=False)
    if written != engine.note(_key(source)):
        engine.keep_note(_key(source), written)


def files(engine: Engine, source: int) -> str:
    """Return what ``docsim.ingest.file_digests`` remembers of the files of a source."""
    return engine.note(f"files of {_key(source)}") or ""


def keep_files(engine: Engine, source: int, written: str) -> None:
    """Note what it is to remember."""
    if written != files(engine, source):
        engine.keep_note(f"files of {_key(source)}", written)


def _key(source: int) -> str:
    return f"source {source}"
