"""Pages: what all forms make of what they read, with the same names of fields in every form.

    url        where the page is read in a browser
    author     who wrote it; a list where several did
    created    when it was written, and
    updated    when it was last changed, in ISO 8601
    labels     a list
    breadcrumb what stands above it, outermost first; a list
    links      the ids of the pages of the source that it links to; a list
    aliases    other names of the page, which stand at the beginning of its text, too, so that they are found
    parent     the id of the page or message that it belongs to

What else there is has the name that its tool gives it, such as ``space``, ``channel`` and ``status``.
"""

from __future__ import annotations

import datetime
import email.utils
import functools
import re
from collections.abc import Callable, Iterable
from typing import Any

from docsim.errors import SourceError
from docsim.ingest import conversion_pool, file_names, folders
from docsim.ingest.content import first_line, legible, one_line, tidy
from docsim.ingest.conversion_pool import Conversion
from docsim.ingest.trees.tree import Tree
from docsim.models import Document, Entry, Failure, LeftOut

__all__ = ["aliased", "attachment", "converted", "entry", "iso", "later", "page", "several", "summary"]

_FORMATS = (
    *("%d/%b/%y %I:%M %p", "%d/%b/%Y %I:%M %p", "%d/%b/%y", "%b %d, %Y %H:%M", "%b %d, %Y %I:%M %p", "%b %d, %Y"),
    *("%B %d, %Y %I:%M %p", "%B %d, %Y %H:%M", "%B %d, %Y", "%Y/%m/%d %H:%M", "%Y/%m/%d %I:%M %p", "%Y/%m/%d"),
    *("%d.%m.%Y %H:%M", "%d.%m.%Y", "%d %b %Y %H:%M", "%d %b %Y"),
)
_NUMBER = re.compile(r"\d{9,13}(?:\.\d+)?\Z")
_AS_WRITTEN = re.compile(r"\d{4}(?:-\d\d(?:-\d\d)?)?\Z")


def page(id: str, text: str, title: str, **facts: Any) -> Document:
    """Return a document. Empty facts are left out; an empty title becomes the first words of the text."""
    text = tidy(legible(text))
    kept = {name: value for name, value in facts.items() if not _is_empty(value)}
    return Document(id, text, one_line(title) or summary(text) or id, kept)


def aliased(text: str, aliases: Iterable[str]) -> str:
    """Return a text that begins with the other names of its page."""
    names = ", ".join(aliases)
    return f"Also called: {names}\n\n{text}" if names else text


def summary(text: str) -> str:
    """Return a title for a text that has none: its first line, cut to ten words."""
    line = first_line(text) or next(filter(str.strip, text[:2000].splitlines()), "")
    words = line.split()
    return one_line(" ".join(words[:10]) + (" ..." if len(words) > 10 else ""))


def several(values: Iterable[str]) -> str | list[str]:
    """Return the one value, or a list of several, each once."""
    found = list(dict.fromkeys(filter(None, values)))
    return found[0] if len(found) == 1 else found


def iso(written: object) -> str:
    """Return a date in ISO 8601, and what is no date as it is written. Seconds and milliseconds are since 1970."""
    text = str(written if written is not None else "").strip()
    if isinstance(written, bool) or not text:
        return ""
    if _NUMBER.match(text):
        return _since_1970(float(text))
    return _dated(text) or text


def _since_1970(seconds: float) -> str:
    seconds = seconds / 1000 if seconds >= 1e11 else seconds
    return _written(datetime.datetime.fromtimestamp(int(seconds), datetime.UTC))


@functools.lru_cache(maxsize=10_000)
def _dated(text: str) -> str:
    if _AS_WRITTEN.match(text):
        return text
    try:
        return _written(datetime.datetime.fromisoformat(text.replace(" UTC", "+00:00")))
    except ValueError:
        pass
    plain = re.sub(r"\s*\((?:GMT|UTC)[^()]*\)$|(?<=\d),?(?= \d\d?:\d\d)|@", "", text).replace("\u202f", " ")
    for form in _FORMATS:
        try:
            found = datetime.datetime.strptime(" ".join(plain.split()), form)
        except ValueError:
            continue
        return _written(found) if "%H" in form or "%I" in form else found.date().isoformat()
    try:
        return _written(email.utils.parsedate_to_datetime(text))
    except ValueError:
        return ""


def _written(date: datetime.datetime) -> str:
    return date.isoformat(timespec="seconds").replace("+00:00", "Z")


def entry(tree: Tree, path: str, id: str, **facts: Any) -> Entry | Failure:
    """Return a file of a tree as a document, which is read when its turn comes.

    Args:
        tree: Where the file is.
        path: Its path there.
        id: The id of the document.
        facts: Metadata, such as ``parent``; a ``title`` is the document's.
    """
    try:
        digest = tree.digest(path, id, repr(sorted(facts.items())))
    except SourceError as error:
        return Failure(id, str(error))
    return later(id, digest, lambda: tree.read(path), lambda data: converted(data, id, tree.how, **facts))


def later(id: str, digest: str, read: Callable[[], bytes], convert: Callable[[bytes], Document]) -> Entry:
    """Return a document that is read when its turn comes, or begun before, while its archive is open."""
    reading = _Reading(id, read, convert)
    return Entry(id, digest, reading.result, reading.start)


class _Reading:
    """A document that is being read: what has to be converted apart is so in the background."""

    def __init__(self, id: str, read: Callable[[], bytes], convert: Callable[[bytes], Document]) -> None:
        self._id = id
        self._read = read
        self._convert = convert
        self._begun: Callable[[], Document] | None = None

    def start(self) -> None:
        """Read the bytes, and begin to convert them if that is done in another process."""
        try:
            work = functools.partial(self._convert, self._read())
        except SourceError as error:
            self._begun = functools.partial(_raised, error)
            return
        ahead = conversion_pool.Ahead(work)
        if conversion_pool.is_apart(file_names.suffix(self._id)):
            ahead.start()
        self._begun = ahead.result

    def result(self) -> Document:
        """Return the document, or raise what went wrong."""
        begun, self._begun = self._begun, None
        return self._convert(self._read()) if begun is None else begun()


def _raised(error: SourceError) -> Document:
    raise error


def attachment(tree: Tree, path: str, id: str, **facts: Any) -> Entry | Failure | LeftOut:
    """Return a file that belongs to a page as a document of its own; see ``entry``.

    The last part of its id is the file's name, which decides its format, as that in the tree may be a number.
    """
    if reason := folders.unread(id.rpartition("/")[2], tree.include):
        tree.used.add(path)
        return LeftOut(id, reason)
    return entry(tree, path, id, **facts)


def converted(data: bytes, id: str, how: Conversion, **facts: Any) -> Document:
    """Return a file as a document, whose format is told by the end of its id.

    Raises:
        SourceError: It cannot be read, or not in time.
    """
    name = "/".join(id.split("/")[-2:])
    content = conversion_pool.read(data, file_names.suffix(id), name, how=how)
    incomplete = {"incomplete": list(content.lost)} if content.lost else {}
    given = {**content.metadata, **facts, **incomplete}
    title = given.pop("title", "") or content.title
    return Document(
        id, content.text, str(title), {name: value for name, value in given.items() if not _is_empty(value)}
    )


def _is_empty(value: object) -> bool:
    return value is None or value in ("", [], (), {})
