"""Files: whether the files of what is shown have changed or gone, without a drive that hangs hanging the server.

While somebody has been looking at files for too long, nobody else looks: those who came first run into the time limit
of their requests, and all others are answered, without a word on files. Nothing says where files lie.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from docsim.index import Index
from docsim.jobs import freshness
from docsim.models import Stale

__all__ = ["Files"]

_TOO_LONG = 0.25
"""Seconds that looking at the files of an answer takes at most where files answer at all."""


class Files:
    """The files that the documents of an index were read from; safe to use from several threads."""

    def __init__(self, index: Index) -> None:
        """Look at nothing yet."""
        self._index = index
        self._looking = dict[object, float]()

    def stale(self, ids: Sequence[str]) -> dict[str, Stale]:
        """Return which of some documents have files that have changed or gone; none while files do not answer."""
        now, mine = time.monotonic(), object()
        if any(now - began > _TOO_LONG for began in list(self._looking.values())):
            return {}
        found = freshness.origins(self._index, ids)
        self._looking[mine] = time.monotonic()
        try:
            return freshness.stale(found)
        finally:
            del self._looking[mine]
