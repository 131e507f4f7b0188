"""Highlighting: where the passages of an answer hold what the question asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from docsim.filters.condition import Holds
from docsim.models import Correction, PassageHit, SearchResult
from docsim.search.syntax import Parsed, parsed
from docsim.text.matching import Matcher, united

__all__ = ["asked", "highlighted", "searched_for"]


def highlighted(result: SearchResult) -> SearchResult:
    """Return the answer to a question with ``PassageHit.matches`` of all its passages."""
    matcher = asked(result.query, result.operators, result.corrections)
    hits = (
        replace(hit, passages=tuple(_highlighted(passage, matcher) for passage in hit.passages)) for hit in result.hits
    )
    return replace(result, hits=tuple(hits))


def searched_for(query: str, operators: Sequence[str], corrections: Iterable[Correction]) -> str:
    """Return the words that a question was searched for by: without its operators, and with its corrections.

    The arguments are those of the answer.
    """
    return _said(query, operators, corrections).text


def asked(query: str, operators: Sequence[str], corrections: Iterable[Correction]) -> Matcher:
    """Return what finds in texts what a question asked for; the arguments are those of its answer."""
    said = _said(query, operators, corrections)
    phrases = [one.words for one in said.conditions if isinstance(one, Holds) and len(one.words) > 1]
    return Matcher(said.text, beginnings=said.beginnings, phrases=phrases)


def _said(query: str, operators: Sequence[str], corrections: Iterable[Correction]) -> Parsed:
    said = parsed(query) if operators else Parsed(query)
    for one in corrections:
        said = replace(said, text=said.text.replace(one.given, one.used))
    return said


def _highlighted(passage: PassageHit, matcher: Matcher) -> PassageHit:
    first = passage.start
    found = united(matcher.matches(passage.text))
    return replace(passage, matches=tuple((first + start, first + end) for start, end in found))
