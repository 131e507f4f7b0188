"""Since: leaves out documents that were last changed before a date, with all that belongs to them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator

from docsim.errors import UsageError
from docsim.models import Document, Entry, Item, LeftOut

__all__ = ["checked", "moment", "since"]

_FIELDS = ("updated", "created", "date")


def checked(written: str) -> str:
    """Return a date that a user gave.

    Raises:
        UsageError: It is no date in ISO 8601.
    """
    if written and moment(written) is None:
        raise UsageError(f"expected a date such as 2026-01-31, got {written!r}")
    return written


def moment(written: object) -> datetime.datetime | None:
    """Return the point in time that a date in ISO 8601 names, in UTC where it says no time zone; None for no date."""
    text = str(written)
    try:
        found = datetime.datetime.fromisoformat({4: f"{text}-01-01", 7: f"{text}-01"}.get(len(text), text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def since(items: Iterable[Item], written: str) -> Iterator[Item]:
    """Yield items, with ``LeftOut`` in the place of documents that were last changed before a date.

    Their attachments are left out, too, whose ids are theirs and a name. Documents without a date stay.
    """
    first = moment(written) if written else None
    if first is None:
        yield from items
        return
    older = set[str]()
    for item in items:
        path = item.id if isinstance(item, Document) else item.path
        if isinstance(item, Document):
            dated = next((date for field in _FIELDS if (date := moment(item.metadata.get(field)))), None)
            is_older = dated is not None and dated < first
        else:
            is_older = isinstance(item, Entry) and any(
                path[: match.start()] in older for match in re.finditer("/", path)
            )
        if is_older:
            older.add(path)
        yield LeftOut(path, f"older than {written}") if is_older else item
