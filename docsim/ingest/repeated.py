"""What most pages of a source repeat: navigation, cookie banners, tables of contents, disclaimers.

It is found by its repetition, line by line, and left out of passages: it would make the pages of a source alike. The
text of a document keeps it, so it is still found by its words.

A line is repeated if it stands in more than half of the pages, of which a source has to have eight. Only runs of
repeated lines that say something are left out: a brace or a heading that many pages share is none. A page of which
little else would be left keeps all.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["PAGES", "Span", "are_repeated", "counted", "lines", "repeated", "spans"]

PAGES = 8
"""The fewest pages of a source in which something is looked for that they repeat."""

_LEAST = 20  # letters and digits of a run that is left out, and of what is left
_LITTLE = 1_200  # letters and digits that may be left out of any page; of more, a quarter of the page has to be left
_LONGEST = 1_000  # characters of a line that is compared
_ENDS = 30_000  # characters at each end of a text in which repeated lines are looked for
_MOST = 2_000  # lines
_HEADING = re.compile(r"#{1,6}[ \t]")


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text: ``text[start:end]``."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    letters: int
    is_heading: bool


def lines(text: str) -> set[str]:
    """Return the lines of a page that may be repeated, without the white space in and around them."""
    if len(text) > 2 * _ENDS:
        text = f"{text[:_ENDS]}\n{text[-_ENDS:]}"
    found = (_squeezed(line) for line in text.split("\n") if len(line) <= _LONGEST)
    return {line for line in found if _says(line)}


def repeated(counts: Mapping[str, int], pages: int, *, known: Collection[str] = ()) -> frozenset[str]:
    """Return the lines that most pages repeat.

    Args:
        counts: In how many pages each line stands.
        pages: How many pages there are.
        known: Lines that were repeated before; they stay so while more than a third of the pages have them, so that one
            page more or less does not change all the others.
    """
    if pages < PAGES:
        return frozenset()
    found = [line for line, count in counts.items() if 2 * count > pages or (3 * count > pages and line in known)]
    return frozenset(sorted(found, key=lambda line: (-counts[line], line))[:_MOST])


def counted(pages: Iterable[str]) -> Counter[str]:
    """Return in how many pages each line stands."""
    return Counter(line for page in pages for line in lines(page))


def spans(text: str, repeated: Collection[str]) -> tuple[Span, ...]:
    """Return the parts of a text that are left out of its passages, in order.

    Args:
        text: A page.
        repeated: The lines that most pages of its source repeat.
    """
    if not repeated:
        return ()
    found = [run for run in _runs(text, repeated) if sum(line.letters for line in run) >= _LEAST]
    out = sum(line.letters for run in found for line in run)
    left_out = tuple(Span(run[0].start, run[-1].end) for run in found)
    least = max(_LEAST, math.ceil(out / 3)) if out > _LITTLE else _LEAST
    return left_out if found and _has_letters(_rest(text, left_out), least) else ()


def _rest(text: str, left_out: Sequence[Span]) -> Iterator[str]:
    """Yield the parts of a text around spans."""
    start = 0
    for span in left_out:
        yield text[start : span.start]
        start = span.end
    yield text[start:]


def _has_letters(parts: Iterable[str], least: int) -> bool:
    """Return whether some parts of a text have at least so many letters and digits."""
    letters = filter(str.isalnum, itertools.chain.from_iterable(parts))
    return sum(1 for _ in itertools.islice(letters, least)) == least


def are_repeated(part: str, repeated: Collection[str]) -> bool:
    """Return whether a part of a text is made of repeated lines, and of lines that say nothing."""
    return all(squeezed in repeated or not _says(squeezed) for squeezed in map(_squeezed, part.split("\n")))


def _runs(text: str, repeated: Collection[str]) -> Iterator[list[_Line]]:
    """Yield the runs of repeated lines. A heading at the end of one belongs to what follows."""
    lines = text.split("\n")
    firsts = _first_words(frozenset(repeated))
    found = {
        number
        for number, line in enumerate(lines)
        if (words := line.split(None, 1)) and words[0] in firsts and _squeezed(line) in repeated
    }
    starts = [0, *itertools.accumulate(len(line) + 1 for line in lines)] if found else []
    end = 0
    for first in sorted(found):
        if first < end:
            continue  # it is in the run before
        run: list[_Line] = []
        for end in range(first, len(lines)):
            if end not in found and _says(lines[end]):
                yield from _without_headings(run)
                break
            letters = sum(map(str.isalnum, lines[end])) if end in found else 0
            run.append(_Line(starts[end], starts[end + 1] - 1, letters, bool(_HEADING.match(lines[end]))))
        else:
            yield run
            return


@functools.lru_cache(16)
def _first_words(repeated: frozenset[str]) -> frozenset[str]:
    return frozenset(map(_first_word, repeated))


def _first_word(line: str) -> str:
    return next(iter(line.split(None, 1)), "")


def _without_headings(run: list[_Line]) -> Iterator[list[_Line]]:
    while run and (run[-1].is_heading or not run[-1].letters):
        run.pop()
    if run:
        yield run


def _says(line: str) -> bool:
    """Return whether a line has a letter or a digit."""
    return any(map(str.isalnum, line))


def _squeezed(line: str) -> str:
    return " ".join(line.split())
