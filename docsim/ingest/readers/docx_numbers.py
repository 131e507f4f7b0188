"""Numbers of paragraphs in Word files: "Article 5", "2.1.3", "Listing 8-12", which Word counts and does not store.

mammoth makes numbered lists of simple numbers, such as "1." and "(a)". A number that says more, or stands before a
heading, is written into the paragraph, so that it is found and stays what it is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lxml import etree

from docsim.ingest.readers.archives import Element

__all__ = ["write_numbers"]

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_VALUE = f"{_WORD}val"
_PLACE = re.compile(r"%([1-9])")
_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"))
_ROMAN_ONES = ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix")
_DEEPEST = 20  # styles that are based on one another
_LEVELS = 9  # that Word has
_LARGEST = 100_000


@dataclass(frozen=True, slots=True)
class _Level:
    start: int
    kind: str
    text: str
    style: str


@dataclass(slots=True)
class _Counted:
    """How far a numbering has come, by level."""

    values: dict[int, int] = field(default_factory=dict)

    def next(self, level: int, levels: Mapping[int, _Level]) -> None:
        start = levels[level].start
        self.values = {one: value for one, value in self.values.items() if one <= level}
        self.values[level] = self.values.get(level, start - 1) + 1


def write_numbers(document: Element, numbering: Element, styles: Element | None) -> None:
    """Write numbers that say something into the paragraphs that they belong to.

    Args:
        document: The part that holds the paragraphs, which is changed.
        numbering: The part that says how they are numbered; it no longer names styles whose numbers are written.
        styles: The part that holds the styles.
    """
    numbers = _Numbers(numbering, styles)
    counted = defaultdict[str, _Counted](_Counted)
    begun = set[str]()
    for paragraph in document.iter(f"{_WORD}p"):
        number, level = numbers.of(paragraph)
        levels = numbers.levels(number)
        if level not in levels:
            continue
        count = counted[numbers.abstract[number]]
        if number not in begun:
            begun.add(number)
            for restarted, start in numbers.restarts.get(number, {}).items():
                count.values[restarted] = start - 1
        count.next(level, levels)
        if numbers.says_something(levels[level], paragraph):
            _put(paragraph, _label(levels, level, count.values))
    for level in numbering.iter(f"{_WORD}lvl"):
        if (style := level.find(f"{_WORD}pStyle")) is not None and numbers.says_something(_level(level), None):
            level.remove(style)


class _Numbers:
    """What says how paragraphs are numbered."""

    def __init__(self, numbering: Element, styles: Element | None) -> None:
        self._levels = {
            one.get(f"{_WORD}abstractNumId", ""): {
                place: _level(level)
                for level in one.iter(f"{_WORD}lvl")
                if (place := _whole(level.get(f"{_WORD}ilvl"))) < _LEVELS
            }
            for one in numbering.iter(f"{_WORD}abstractNum")
        }
        listed = {one.get(f"{_WORD}numId", ""): one for one in numbering.iter(f"{_WORD}num")}
        self.abstract = {id: _value(one, "abstractNumId") for id, one in listed.items()}
        self.restarts = {id: dict(_overrides(one)) for id, one in listed.items()}
        found = () if styles is None else styles.iter(f"{_WORD}style")
        self._styles = {id: one for one in found if (id := one.get(f"{_WORD}styleId"))}
        for one in numbering.iter(f"{_WORD}abstractNum"):
            linked = self._styles.get(_value(one, "numStyleLink"))
            if linked is not None:
                number = _value(linked.find(f"{_WORD}pPr/{_WORD}numPr"), "numId")
                self._levels[one.get(f"{_WORD}abstractNumId", "")] = dict(self.levels(number))

    def levels(self, number: str) -> Mapping[int, _Level]:
        """Return the levels of a numbering."""
        return self._levels.get(self.abstract.get(number, ""), {})

    def of(self, paragraph: Element) -> tuple[str, int]:
        """Return the numbering and the level of a paragraph; ``0`` where it has none."""
        properties = paragraph.find(f"{_WORD}pPr")
        given = properties.find(f"{_WORD}numPr") if properties is not None else None
        style = _value(properties, "pStyle") if properties is not None else ""
        number, level = ("", "") if given is None else (_value(given, "numId"), _value(given, "ilvl"))
        for one in self._based(style):
            inherited = one.find(f"{_WORD}pPr/{_WORD}numPr")
            if inherited is not None:
                number, level = number or _value(inherited, "numId"), level or _value(inherited, "ilvl")
                named = (place for place, its in self.levels(number).items() if its.style == one.get(f"{_WORD}styleId"))
                level = level or str(next(named, 0))
        return number or "0", _whole(level)

    def says_something(self, level: _Level, paragraph: Element | None) -> bool:
        """Return whether a number is more than that of an item in a list, or that of a heading."""
        if level.kind in ("bullet", "none") or not level.text:
            return False
        if len(_PLACE.findall(level.text)) > 1 or any(map(str.isalnum, _PLACE.sub("", level.text))):
            return True
        style = "" if paragraph is None else _value(paragraph.find(f"{_WORD}pPr"), "pStyle")
        return any(one.find(f"{_WORD}pPr/{_WORD}outlineLvl") is not None for one in self._based(style))

    def _based(self, style: str) -> Iterator[Element]:
        """Yield a style and those that it is based on."""
        for _ in range(_DEEPEST):
            one = self._styles.get(style)
            if one is None:
                return
            yield one
            style = _value(one, "basedOn")


def _level(level: Element) -> _Level:
    start = _value(level, "start")
    return _Level(
        _whole(start) if start else 1, _value(level, "numFmt"), _value(level, "lvlText"), _value(level, "pStyle")
    )


def _overrides(number: Element) -> Iterator[tuple[int, int]]:
    for one in number.iter(f"{_WORD}lvlOverride"):
        if start := _value(one, "startOverride"):
            yield _whole(one.get(f"{_WORD}ilvl")), _whole(start)


def _label(levels: Mapping[int, _Level], level: int, values: Mapping[int, int]) -> str:
    def shown(match: re.Match[str]) -> str:
        place = int(match[1]) - 1
        if place not in levels:
            return ""
        return _written(values.get(place, levels[place].start), levels[place].kind)

    return _PLACE.sub(shown, levels[level].text).strip()


def _written(value: int, kind: str) -> str:
    if kind.endswith("Letter") and 0 < value <= _LARGEST:
        letters = chr(ord("a") + (value - 1) % 26) * min((value - 1) // 26 + 1, 10)
        return letters.upper() if kind.startswith("upper") else letters
    if kind.endswith("Roman") and 0 < value < 4000:
        roman = ""
        for size, letters in _ROMAN:
            roman += letters * (value // size)
            value %= size
        roman += _ROMAN_ONES[value]
        return roman.upper() if kind.startswith("upper") else roman
    return "" if kind == "none" else f"{value:02}" if kind == "decimalZero" else str(value)


def _put(paragraph: Element, label: str) -> None:
    """Write a number before the text of a paragraph, which is no item of a list from then on."""
    properties = paragraph.find(f"{_WORD}pPr")
    if properties is not None:
        for given in properties.findall(f"{_WORD}numPr"):
            properties.remove(given)
    if not label or not any((one.text or "").strip() for one in paragraph.iter(f"{_WORD}t")):
        return
    run = etree.Element(f"{_WORD}r")
    etree.SubElement(run, f"{_WORD}t").text = f"{label} "
    paragraph.insert(0 if properties is None else paragraph.index(properties) + 1, run)


def _value(element: Element | None, name: str) -> str:
    found = element.find(f"{_WORD}{name}") if element is not None else None
    return (found.get(_VALUE) or "") if found is not None else ""


def _whole(written: str | None) -> int:
    return int(written) if written and written.isascii() and written.isdigit() and len(written) < 7 else 0
