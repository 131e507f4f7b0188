"""Use: feedback from a program or the shell, and other tools' logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from docsim.engine.retrying import retried
from docsim.errors import UsageError
from docsim.index import Index
from docsim.use.exchange import read_log
from docsim.use.log import UseLog
from docsim.use.people import People
from docsim.use.records import Event, Kind, Question

__all__ = ["Imported", "feedback", "import_log"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of reading a log.

    Attributes:
        questions: Questions that are new.
        events: Events that are new.
        unknown: Documents that are not in the index, with how many lines name them; those lines were left out.
    """

    questions: int
    events: int
    unknown: dict[str, int]


def feedback(
    index: Index,
    question: str,
    *,
    good: Sequence[str] = (),
    bad: Sequence[str] = (),
    found: Sequence[str] = (),
    person: str | None = None,
) -> None:
    """Record what somebody thinks of documents as answers to a question.

    Args:
        index: The index.
        question: What was asked.
        good: Ids of documents that answer it.
        bad: Ids of documents that do not.
        found: Ids of documents that are just what was looked for.
        person: Who says so; only a keyed hash of it is kept.

    Raises:
        UsageError: The question is blank, there is nothing to say, or a document is not in the index.
        StoreError: It cannot be written.
    """
    if not question.strip():
        raise UsageError("expected a question, got a blank one")
    said: list[tuple[Kind, str]] = [("good", id) for id in good]
    said += [("bad", id) for id in bad]
    said += [("found", id) for id in found]
    if not said:
        raise UsageError("expected at least one document that is good, bad or what was looked for; got none")
    for _, id in said:
        if not index.has(id):
            raise UsageError(f"expected the id of an indexed document, found no document {id!r} in the index")
    by = None if person is None else People(index.path).hashed(person)
    asked = Question(question, "shell", by)
    events = [Event(asked.id, kind, id, None, by, asked.asked) for kind, id in said]
    with UseLog.opened(index.path) as log:
        log.write([asked, *events])


def import_log(index: Index, file: Path) -> Imported:
    """Add what a log of another tool, or an exported one, says to the record of use; adding it twice does nothing.

    Raises:
        UsageError: The file cannot be read, or a line lacks something.
        StoreError: It cannot be written.
    """
    read = read_log(file, People(index.path), _resolver(index))
    with UseLog.opened(index.path) as log:
        before = log.counts()
        log.write(read.records)
        after = log.counts()
    return Imported(after.questions - before.questions, after.events - before.events, dict(read.unknown))


@retried
def _resolver(index: Index) -> Callable[[str], str | None]:
    """Return what finds the document that a log means.

    It is named by its id, by the address in its metadata field ``url``, or by an address whose path ends like its id,
    where no other document's does; what follows the last dot makes no difference.
    """
    ids, addresses, ends = set[str](), dict[str, str](), dict[str, str | None]()
    with index.engine.snapshot() as snapshot:
        for stored in snapshot.scan(characters=0):
            id = stored.document.id
            ids.add(id)
            if isinstance(address := stored.document.metadata.get("url"), str):
                addresses[address] = id
            end = _plain(id)
            ends[end] = None if end in ends else id

    def resolve(named: str) -> str | None:
        if named in ids:
            return named
        if named in addresses:
            return addresses[named]
        parts = _plain(unquote(urlsplit(named).path)).split("/")
        found = (ends.get("/".join(parts[start:])) for start in range(len(parts)))
        return next((one for one in found if one), None)

    return resolve


def _plain(path: str) -> str:
    return str(PurePosixPath(path.strip("/")).with_suffix("")).casefold() if path.strip("/") else ""
