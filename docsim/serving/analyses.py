"""Analyses: duplicates and the map, of just the documents that somebody may see.

Whatever is chosen by what is common - the threshold of duplicates, who represents a group, the topics and their names -
is chosen from these documents only, so that nothing of the others shows in it. An analysis takes seconds, of a large
index minutes: it is made once for all who see the same, one after the other, and kept until the index changes.

What is learned from use - gaps, hygiene, what to ask people about - is for who sees all documents. It is kept for some
minutes, as use changes with every question.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any, cast

from docsim.engine.base import Snapshot
from docsim.engine.records import Counts, Embeddings, Numbers, StoredDocument
from docsim.engine.retrying import retried
from docsim.index import Index
from docsim.models import Passage
from docsim.serving.access import Access
from docsim.serving.problems import Problem
from docsim.serving.reading import Answer, Reading
from docsim.threads import Threads

__all__ = ["Analyses", "Seen", "Unready"]

_KEPT = 16
"""Analyses that are kept."""

_WAITING = 8
"""Analyses that wait to be made; more are refused."""

_FRESH = 300.0
"""Seconds that what is learned from use is kept."""


class Unready(Problem):
    """An analysis that is still being made, and is there when it is asked for again."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__(503, "this takes longer, and goes on; ask again in a while", {"Retry-After": "10"})


class Seen:
    """A snapshot without the documents that somebody may not see, as far as analyses read it."""

    def __init__(self, snapshot: Snapshot, access: Access) -> None:
        """Show what somebody may see of a state."""
        self._snapshot, self._access = snapshot, access
        self.dim = snapshot.dim

    def scan(self, *, characters: int | None = None) -> Iterator[StoredDocument]:
        """Yield every document that may be seen."""
        return (one for one in self._snapshot.scan(characters=characters) if self._access.sees(one.document))

    def counts(self) -> Counts:
        """Return how many documents and passages may be seen."""
        passages = [one.passages for one in self.scan(characters=0)]
        return Counts(len(passages), sum(passages))

    def documents(self, numbers: Sequence[int]) -> dict[int, StoredDocument]:
        """Return some documents by number, of those that may be seen."""
        found = self._snapshot.documents(numbers)
        return {number: one for number, one in found.items() if self._access.sees(one.document)}

    def embeddings(self, numbers: Numbers) -> list[Embeddings]:
        """Return the embeddings of documents that ``scan`` has yielded."""
        return self._snapshot.embeddings(numbers)

    def passages(self, numbers: Sequence[int]) -> dict[int, list[Passage]]:
        """Return the passages of documents that ``scan`` has yielded."""
        return self._snapshot.passages(numbers)


class Analyses:
    """The analyses of an index; safe to use from several threads."""

    def __init__(self, reading: Reading) -> None:
        """Make none yet."""
        self._reading = reading
        self._made: OrderedDict[object, Future[Answer]] = OrderedDict()
        self._lock = threading.Lock()
        self._thread = Threads(1, "docsim-analyses")

    def close(self) -> None:
        """Make no more of them."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def duplicates(self, access: Access, *, threshold: float | None, seconds: float) -> Answer:
        """Return duplicates, as ``docsim duplicates --json`` prints them.

        Args:
            access: What may be seen.
            threshold: The overlap, in (0, 1], from which documents are near-duplicates; calibrated by default.
            seconds: How long to wait for it.

        Raises:
            Problem: It takes longer, and goes on.
        """
        from docsim.analysis.duplicates import find

        return self._of(
            access, ("duplicates", threshold), lambda seen: asdict(find(seen, threshold=threshold)), seconds
        )

    def map(self, access: Access, *, seed: int, seconds: float) -> Answer:
        """Return documents in the plane, as ``docsim map --json`` prints them.

        Raises:
            MissingExtra: The extra ``map`` is not installed.
            Problem: It takes longer, and goes on; or there is nothing to draw.
        """
        from docsim.analysis.topic_map import knowledge_map

        def made(seen: Snapshot) -> Answer:
            if not seen.counts().documents:
                return {"topics": (), "points": ()}
            return asdict(knowledge_map(seen, seed=seed))

        return self._of(access, ("map", seed), made, seconds)

    def of_use(self, what: object, make: Callable[[Index], Answer], *, seconds: float) -> Answer:
        """Return what is learned from the use of the whole index, for who sees all of it.

        Args:
            what: Names it.
            make: Makes it.
            seconds: How long to wait for it.

        Raises:
            Problem: It takes longer, and goes on.
        """
        return self._kept((int(time.monotonic() // _FRESH), what), lambda: make(self._reading.index), seconds)

    def _of(self, access: Access, what: object, make: Callable[[Snapshot], Answer], seconds: float) -> Answer:
        with self._reading.index.engine.snapshot() as snapshot:
            key = (snapshot.revision, access.viewer.groups, what)
        return self._kept(key, lambda: self._analysed(access, make), seconds)

    def _kept(self, key: object, make: Callable[[], Answer], seconds: float) -> Answer:
        with self._lock:
            future = self._made.get(key)
            if future is None or (future.done() and future.exception() is not None):
                if sum(not one.done() for one in self._made.values()) >= _WAITING:
                    raise Problem(503, "too many analyses are being made; ask again", {"Retry-After": "30"})
                future = self._made[key] = self._thread.submit(make)
            self._made.move_to_end(key)
            while len(self._made) > _KEPT and next(iter(self._made.values())).done():
                self._made.popitem(last=False)
        try:
            return future.result(seconds)
        except TimeoutError as error:
            raise Unready() from error

    @retried
    def _analysed(self, access: Access, make: Callable[[Snapshot], Answer]) -> dict[str, Any]:
        with self._reading.index.engine.snapshot() as snapshot:
            seen = snapshot if access.viewer.groups is None else cast(Snapshot, Seen(snapshot, access))
            return make(seen) | {"revision": snapshot.revision}
