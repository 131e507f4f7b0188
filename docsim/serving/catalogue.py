"""The catalogue: ids and titles of all documents in order, for lists and suggestions.

It is made when first asked for, and again when the index has changed, but not more often than every few seconds. What
is taken from it is read again before it is shown, so that nothing is that has gone meanwhile, or has become somebody
else's.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from docsim.engine.base import Engine
from docsim.engine.retrying import retried
from docsim.serving.access import Access, Rules

__all__ = ["Catalogue", "CatalogueEntry"]

_SECONDS = 2.0
"""A catalogue of an older state is used for this long."""


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A document in the catalogue.

    Attributes:
        id: Its id.
        title: Its title.
        folded: Its title, or its id when it has none, for comparison.
        groups: The groups that it belongs to.
    """

    id: str
    title: str
    folded: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class _State:
    revision: int
    made: float
    listed: tuple[CatalogueEntry, ...]


class Catalogue:
    """The documents of an index by id; safe to use from several threads."""

    def __init__(self, engine: Engine, rules: Rules) -> None:
        """List the documents that an engine keeps."""
        self._engine, self._rules = engine, rules
        self._state: _State | None = None
        self._lock = threading.Lock()

    def after(self, id: str, access: Access, *, within: str = "", at_least: int = 0) -> Iterator[CatalogueEntry]:
        """Yield the documents whose ids come after one, in order, that somebody may see and that lie below a path."""
        listed = self._current(at_least).listed
        first = bisect_right(listed, id, key=lambda one: one.id)
        for one in islice(listed, first, None):
            below = not within or one.id == within or one.id.startswith(f"{within}/")
            if below and access.sees_groups(one.groups):
                yield one

    def beginning(self, text: str, access: Access) -> Iterator[CatalogueEntry]:
        """Yield the documents whose titles begin with a text, and then those with a word that does."""
        wanted = " ".join(text.casefold().split())
        listed = [one for one in self._current(0).listed if wanted in one.folded and access.sees_groups(one.groups)]
        first = [one for one in listed if one.folded.startswith(wanted)]
        yield from sorted(first, key=lambda one: len(one.folded))
        yield from (one for one in listed if not one.folded.startswith(wanted) and f" {wanted}" in one.folded)

    def _current(self, at_least: int) -> _State:
        """Return the documents as they are, or were some seconds ago."""
        with self._lock, self._engine.snapshot() as snapshot:
            state, revision = self._state, snapshot.revision
            is_recent = state is not None and time.monotonic() - state.made < _SECONDS and state.revision >= at_least
            if state is not None and (state.revision == revision or is_recent):
                return state
        with self._lock:
            self._state = self._made()
            return self._state

    @retried
    def _made(self) -> _State:
        with self._engine.snapshot() as snapshot:
            known: dict[frozenset[str], frozenset[str]] = {}
            listed = []
            for stored in snapshot.scan(characters=0):
                id, title = stored.document.id, stored.document.title
                groups = self._rules.groups(id, stored.document.metadata)
                folded = " ".join((title or id).casefold().split())
                listed.append(CatalogueEntry(id, title, folded, known.setdefault(groups, groups)))
            return _State(snapshot.revision, time.monotonic(), tuple(sorted(listed, key=lambda one: one.id)))
