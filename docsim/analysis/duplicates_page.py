"""The report of duplicates: groups, and what differs between the best passages of two documents, as one HTML page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from html import escape

from docsim.analysis.duplicates import Duplicates, Group, Match, Member
from docsim.engine.base import Snapshot
from docsim.rendering.pages import page

__all__ = ["duplicates_page"]

_MOST_COMPARED = 500
"""Members whose passages are shown; the rest of a large report is a list."""

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
    """Return the report as HTML.

    Args:
        found: What was found.
        snapshot: Where the texts are.
    """
    members = sum(len(group.members) for group in found.groups)
    how = "chosen by what is common here" if found.calibrated else "as asked for"
    head = (
        f"<p>{found.documents:,} documents were compared; {members:,} of them duplicate"
        f" {len(found.groups):,} others. Near-duplicates have {found.threshold:.0%} of their wording in common, rare"
        f" wording counting for more ({how}); of a contained document {found.contained:.0%} stands in the other."
        " <em>Covered</em> is the share of a duplicate's words that stand in the document above it, <em>covers</em> the"
        " share of that one's that stand in it. In passages, <del>this</del> stands only in the document above,"
        " <ins>this</ins> only in the duplicate. Nothing was changed or deleted.</p>"
    )
    compared, sections = 0, []
    for group in found.groups:
        sections.append(_section(group, snapshot, most=_MOST_COMPARED - compared))
        compared += len(group.members)
    return page("Duplicates", head + "\n".join(sections), style=_STYLE)


def _section(group: Group, snapshot: Snapshot, *, most: int) -> str:
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
    title = f"{escape(one.title)} " if one.title not in ("", one.id) else ""
    return f'{title}<small class="id">{escape(one.id)}</small>'


def _row(member: Member, difference: str) -> str:
    passages = f"<details><summary>passages</summary><pre>{difference}</pre></details>" if difference else ""
    numbers = f"<td>{member.covered:.0%}</td><td>{member.covers:.0%}</td><td>{member.similarity:.2f}</td>"
    return f"<tr><td>{_named(member)}{passages}</td><td>{member.kind}</td>{numbers}</tr>"


def _difference(representative: str, member: str, match: Match) -> str:
    """Return the best passages of two documents as one, with what stands in only one of them marked."""
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
