"""What was asked: each question once, with how often, by how many people, and how it ended."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from docsim.use.log import UseLog
from docsim.use.records import Session
from docsim.use.sittings import Sitting, sittings

__all__ = ["AskedQuestion", "asked", "of_index"]


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question that was asked once or several times.

    Attributes:
        key: The question, in whatever way it was typed.
        text: The way in which it was typed most often.
        times: How often it was asked.
        people: By how many people, as far as they are known; at least 1.
        watched: How often somebody was there who could have opened something.
        opened: How often something was opened, or called good.
        nothing: How often somebody said that nothing helped, or called something bad and nothing good.
    """

    key: str
    text: str
    times: int
    people: int
    watched: int
    opened: int
    nothing: int


def of_index(index: Path) -> list[AskedQuestion]:
    """Return what an index was asked, most often first; nothing where nothing is recorded.

    Raises:
        StoreError: The record of use cannot be read.
    """
    if not UseLog.exists(index):
        return []
    with UseLog.opened(index) as log:
        return asked(log.sessions())


def asked(sessions: Sequence[Session]) -> list[AskedQuestion]:
    """Return what was asked in some sessions, most often first; their order makes no difference."""
    grouped = defaultdict[str, list[Sitting]](list)
    for one in sittings([one for one in sessions if one.question.route not in ("shell", "judge")])[0]:
        grouped[one.key].append(one)
    found = [_summed(key, group) for key, group in grouped.items()]
    return sorted(found, key=lambda one: (-one.times, one.key))


def _summed(key: str, group: Sequence[Sitting]) -> AskedQuestion:
    typed = Counter(one.text.strip() for one in group)
    said = [{vote.worth > 0 for vote in one.votes} for one in group]
    good = [bool(one.opened) or True in votes for one, votes in zip(group, said, strict=True)]
    bad = [one.nothing or (False in votes and not ok) for one, votes, ok in zip(group, said, good, strict=True)]
    return AskedQuestion(
        key=key,
        text=min(typed, key=lambda text: (-typed[text], text)),
        times=len(group),
        people=max(1, len({one.person for one in group if one.person is not None})),
        watched=sum(bool(one.shown) for one in group),
        opened=sum(good),
        nothing=sum(bad),
    )
