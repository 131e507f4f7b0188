"""The report of duplicates as an HTML page: the groups, and the differences between the best passages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from html import escape

from docsim.analysis.duplicates import Duplicates, Group, MatchedPassage, Member
from docsim.engine.base import Snapshot
from docsim.rendering.pages import page

__all__ = ["duplicates_page"]

_MOST_COMPARED = 500
"""The most duplicates whose passages are shown. Further ones are only listed."""

_PIECE = re.compile(r"\s+|\w+|[^\w\s]")
_STYLE = """
h2 { font-size: 1.1rem; margin: 2rem 0 .3rem } h2 small, .id { color: #666; font-weight: normal }
ins { background: #d8f5d8; text-decoration: none } del { background: #fbdcdc }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem;
  border-left: 3px solid #ddd; padding-left: .8rem }
summary { cursor: pointer } td:nth-child(n+3) { white-space: nowrap }
"""
_HEAD = "<tr><th>duplicate</th><th>kind</th><th>covered</th><th>covers</th><th>similarity</th></tr>"


def duplicates_page(found: Duplicates, snapshot: Snapshot) -> str:
    """Return the report as an HTML page.

    Args:
        found: The duplicates.
        snapshot: The index that they were found in, for their texts.
    """
    compared, sections = 0, []
    for group in found.groups:
        sections.append(_section(group, snapshot, most=_MOST_COMPARED - compared))
        compared += len(group.members)
    return page("Duplicates", _introduction(found) + "\n".join(sections), style=_STYLE)


def _introduction(found: Duplicates) -> str:
    """Return the paragraph that explains the numbers of the report."""
    members = sum(len(group.members) for group in found.groups)
    how = "a threshold chosen for this collection" if found.calibrated else "the threshold that was asked for"
    return (
        f"<p>{found.documents:,} documents were compared; {members:,} are duplicates of {len(found.groups):,} others."
        f" Near-duplicates share at least {found.threshold:.0%} of their wording, where rare wording counts for more"
        f" ({how}). Of a contained document, at least {found.contained:.0%} occurs in the other one."
        " <em>Covered</em> is the share of a duplicate's words that occur in the document at the head of its group;"
        " <em>covers</em> is the share of that document's words that occur in the duplicate. In passages,"
        " <del>this</del> occurs only in the document at the head, <ins>this</ins> only in the duplicate. Nothing was"
        " changed or deleted.</p>"
    )


def _section(group: Group, snapshot: Snapshot, *, most: int) -> str:
    """Return a group, with the passages of its first ``most`` members."""
    ids = [group.id, *(member.id for member in group.members[: max(0, most)])]
    numbers = [snapshot.number(id) or 0 for id in ids]
    stored = snapshot.documents(numbers)
    texts = [stored[number].document.text if number in stored else "" for number in numbers]
    rows = []
    for place, member in enumerate(group.members, start=1):
        shown = _difference(texts[0], texts[place], member.matches[0]) if member.matches and place < len(texts) else ""
        rows.append(_row(member, shown))
    return f"<h2>{_named(group)}</h2><table>{_HEAD}{''.join(rows)}</table>"


def _named(one: Group | Member) -> str:
    """Return a document's title and id."""
    title = f"{escape(one.title)} " if one.title not in ("", one.id) else ""
    return f'{title}<small class="id">{escape(one.id)}</small>'


def _row(member: Member, difference: str) -> str:
    passages = f"<details><summary>passages</summary><pre>{difference}</pre></details>" if difference else ""
    numbers = f"<td>{member.covered:.0%}</td><td>{member.covers:.0%}</td><td>{member.similarity:.2f}</td>"
    return f"<tr><td>{_named(member)}{passages}</td><td>{member.kind}</td>{numbers}</tr>"


def _difference(representative: str, member: str, match: MatchedPassage) -> str:
    """Return the best passages of two documents merged, with what occurs in only one of them marked."""
    ours = _PIECE.findall(representative[match.other_start : match.other_end])
    theirs = _PIECE.findall(member[match.start : match.end])
    return "".join(_marked(ours, theirs))


def _marked(ours: list[str], theirs: list[str]) -> Iterator[str]:
    for tag, start, end, other_start, other_end in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        old, new = escape("".join(ours[start:end])), escape("".join(theirs[other_start:other_end]))
        if tag == "equal":
            yield old
        else:
            yield (f"<del>{old}</del>" if old else "") + (f"<ins>{new}</ins>" if new else "")
