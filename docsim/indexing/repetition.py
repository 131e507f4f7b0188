"""What most pages of a source repeat: found while a source is read, kept in the index, and left out of passages.

What a source repeats is told by 200 of its pages, chosen by their paths, so that it follows from what the index holds.
It is found anew at the end of every sync that has changed something, and pages that were split otherwise before are
split again. Before a source is read for the first time, a sample of it tells what to leave out; if there is none, the
pages read so far do. So few pages have to be split again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from docsim.engine.base import Writer
from docsim.engine.records import StoredDocument
from docsim.ingest import passages, repeated, sampling
from docsim.models import Passage

__all__ = ["NOTE", "Repetition", "Resplit"]

NOTE = "repeated"
"""The first word of the notes of an index that hold what its sources repeat, followed by the number of the source."""


@dataclass(frozen=True, slots=True)
class Resplit:
    """A document of the index whose passages have to be others."""

    stored: StoredDocument
    passages: tuple[Passage, ...]


class Repetition:
    """What the pages of one source repeat, as far as is known."""

    def __init__(self, writer: Writer, source: int, *, sample: Iterable[str] = (), keep: bool = False) -> None:
        """Read what was known after the last sync.

        Args:
            writer: Of the index.
            source: The source's number.
            sample: Texts of pages from all over the source; read only if nothing is known yet.
            keep: Leave nothing out.
        """
        self._writer, self._key, self._source, self._keeps = writer, f"{NOTE} {source}", source, keep
        written = writer.note(self._key)
        kept = json.loads(written or "{}")
        self._known = frozenset[str](kept.get("lines", ()))
        self._is_new, self._is_settled = written is None, bool(kept.get("settled"))
        self._lines = frozenset[str]() if keep else self._known
        self._noted = set(self._known)
        self._counts, self._pages, self._is_sampled = Counter[str](), 0, False
        self._split = dict[str, frozenset[str]]()  # without which lines documents were split, by path
        if self._is_new and not keep:
            self._count(sample)
            self._is_sampled = self._pages >= repeated.PAGES

    def passages(self, pages: Sequence[tuple[str, str]]) -> list[tuple[Passage, ...]]:
        """Split pages, given as path and text, that are new or have changed."""
        if not self._keeps and self._is_new and not self._is_sampled and self._pages < 2 * sampling.SAMPLED:
            self._count(text for _, text in pages)
        self._split |= dict.fromkeys((path for path, _ in pages), self._lines)
        return [self._passages(text) for _, text in pages]

    def note(self, paths: Iterable[str] = ()) -> None:
        """Note, before some paths are written, what was left out of them; inside a transaction."""
        lines = set[str]().union(self._lines, *(self._split.get(path, ()) for path in paths))
        if not lines <= self._noted:
            self._noted |= lines
            self._keep(self._noted, is_settled=False)

    def settle(self) -> Iterator[Resplit]:
        """Find out, once all is written, what is repeated, and yield the documents that are to be split again."""
        paths = self._writer.paths(self._source)
        before = self._known if self._is_settled or self._is_new else None
        self._lines = self._found(paths, known=self._lines if self._is_new else self._known)
        for path in paths:
            under = self._split.get(path, before)
            if under == self._lines or (origin := self._writer.origin(self._source, path)) is None:
                continue
            stored = self._writer.document(origin.document_number)
            if stored is None or stored.document.digest() != stored.digest:
                continue  # it is damaged
            if under is None or repeated.lines(stored.document.text) & (under ^ self._lines):
                spans = self._passages(stored.document.text)
                if list(spans) != self._writer.passages(stored.number):
                    yield Resplit(stored, spans)

    def close(self) -> None:
        """Note that all documents are split as they have to be; inside a transaction."""
        if (not self._is_new or self._noted or self._lines) and (not self._is_settled or self._noted != self._lines):
            self._keep(self._lines, is_settled=True)

    def _count(self, pages: Iterable[str]) -> None:
        for text in pages:
            self._counts.update(repeated.lines(text))
            self._pages += 1
        self._lines = repeated.repeated(self._counts, self._pages)

    def _found(self, paths: Sequence[str], *, known: frozenset[str]) -> frozenset[str]:
        if self._keeps or len(paths) < repeated.PAGES:
            return frozenset()
        origins = filter(None, (self._writer.origin(self._source, path) for path in sampling.chosen(paths)))
        found = filter(None, (self._writer.document(number) for number in {one.document_number for one in origins}))
        texts = [stored.document.text for stored in found]
        return repeated.repeated(repeated.counted(texts), len(texts), known=known)

    def _passages(self, text: str) -> tuple[Passage, ...]:
        return tuple(passages.split(text, without=repeated.spans(text, self._lines)))

    def _keep(self, lines: Iterable[str], *, is_settled: bool) -> None:
        written = json.dumps({"lines": sorted(lines), "settled": is_settled}, ensure_ascii=False)
        self._writer.keep_note(self._key, written)
