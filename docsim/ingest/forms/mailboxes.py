"""Mailboxes: the mails in mbox files, Maildirs and folders of ``.eml``, ``.emlx`` and ``.msg`` files, one by one."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import re
from collections.abc import Callable, Container, Iterator, Sequence
from email.message import EmailMessage, Message
from functools import partial
from typing import IO, NamedTuple

from docsim.errors import SourceError
from docsim.ingest import conversion_pool, mail_headers
from docsim.ingest.content import FileContent
from docsim.ingest.conversion_pool import Conversion
from docsim.ingest.forms.apart import Alone, Done
from docsim.ingest.trees.tree import Single, Tree, id_of
from docsim.models import Failure

__all__ = ["LIMIT", "MAIL", "Place", "begins_mbox", "is_mail", "is_mbox", "mails"]

MAIL = (".eml", ".emlx", ".msg")
"""The suffixes of files that hold one mail."""

LIMIT = 1 << 28
"""The largest mail, in bytes."""

_LARGE = 1 << 20  # bytes; a larger mail is parsed while no other is
_MBOX = re.compile(r"\.(?:mbox|mbx)(?:/mbox)?\Z", re.IGNORECASE)
_DEEPEST = 50  # parts of a mail in parts
_MAILDIR = re.compile(r"(?:^|/)(?:cur|new)/[^/]+\Z")
_ESCAPED = re.compile(rb"^>(>*From )", re.MULTILINE)
_FROM = re.compile(rb"From \S.{0,300}\d\d:\d\d|From - \w")
_BEGINNING = re.compile(rb"From [^\n]{0,300}\r?\n[A-Za-z][\w-]*:")


class Place(NamedTuple):
    """Where a mail is.

    Attributes:
        number: How many mails come before it; -1 where no mail could be read.
        path: The path of its file.
        mailbox: The path of its mailbox.
    """

    number: int
    path: str
    mailbox: str


def is_mbox(path: str, names: Sequence[str] = ()) -> bool:
    """Return whether a file is an mbox, by its name; one of Thunderbird has an index ``.msf`` beside it."""
    return bool(_MBOX.search(path)) or f"{path}.msf" in names


def begins_mbox(head: bytes) -> bool:
    """Return whether a file that begins so is an mbox, whatever its name."""
    return bool(_BEGINNING.match(head))


def is_mail(path: str) -> bool:
    """Return whether a file holds one mail, by its name."""
    return path.lower().endswith(MAIL) or bool(_MAILDIR.search(path))


def mails(
    tree: Tree, form: str, wanted: Container[int] | None = None
) -> Iterator[tuple[Place, Callable[[], FileContent | Failure]]]:
    """Yield the work of having a module of a form parse each mail, and where the mail is.

    Args:
        tree: Where the mails are.
        form: The module's name.
        wanted: The numbers of the mails that are parsed; all when not given.
    """
    names, numbers = set(tree.files), itertools.count()
    for path in tree.files:
        try:
            if is_mail(path):
                number = next(numbers)
                if wanted is None or number in wanted:
                    yield Place(number, path, _mailbox(path)), _one(path, tree.read(path), form, tree.how)
            elif isinstance(tree, Single) or is_mbox(path, (f"{path}.msf",) if f"{path}.msf" in names else ()):
                with tree.open(path) as stream:
                    for data in _messages(stream):
                        number = next(numbers)
                        if wanted is None or number in wanted:
                            yield Place(number, path, id_of(path)), _parsing(data, form, tree.how)
        except (SourceError, OSError) as error:
            yield Place(-1, path, ""), Done(Failure(id_of(path), str(error), identified=False))


def _parsing(data: bytes, form: str, how: Conversion) -> Callable[[], FileContent]:
    work = partial(conversion_pool.parse, data, form, how=how)
    return Alone(work) if len(data) > _LARGE else work


def parsed(data: bytes) -> EmailMessage:
    """Parse a mail.

    Raises:
        SourceError: It is nested too deeply.
    """
    with contextlib.suppress(RecursionError):
        mail = mail_headers.parsed(data)
        if _depth(mail) <= _DEEPEST:
            return mail
    raise SourceError("the mail is nested too deeply")


def _depth(mail: Message) -> int:
    parts, depth = [mail], 0
    while parts:
        parts = [one for part in parts if part.is_multipart() for one in part.get_payload() if isinstance(one, Message)]
        depth += 1
    return depth


def _mailbox(path: str) -> str:
    """Return the mailbox of a file: the Maildir, or the folder."""
    folder = path.rpartition("/")[0]
    if _MAILDIR.search(path):
        folder = folder.rpartition("/")[0]
    return id_of(folder)


def _one(path: str, data: bytes, form: str, how: Conversion) -> Callable[[], FileContent]:
    suffix = path.lower().rpartition(".")[2]
    if suffix == "msg":
        if importlib.util.find_spec("oxmsg") is None:
            raise SourceError('reading .msg files needs the extra "files": pip install "docsim[files]"')
        work = partial(_of_outlook, data, form, how)
        return Alone(work) if len(data) > _LARGE else work
    if suffix == "emlx":  # Apple Mail: the length, the mail, and a property list
        first, _, rest = data.partition(b"\n")
        data = rest[: int(first)] if first.strip().isdigit() else data
    return _parsing(data, form, how)


def _of_outlook(data: bytes, form: str, how: Conversion) -> FileContent:
    written = conversion_pool.parse(data, "outlook", how=how).text
    return conversion_pool.parse(written.encode("ascii", "surrogateescape"), form, how=how)


def _messages(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the mails of an mbox. A line ``From`` begins one, if an empty line or nothing is before it.

    Raises:
        SourceError: A mail is too large, or the file is none.
    """
    lines: list[bytes] = []
    size, is_blank, is_begun = 0, True, False
    while line := stream.readline(LIMIT):
        if is_blank and line.startswith(b"From ") and (not is_begun or _FROM.match(line)):
            if is_begun:
                yield _ESCAPED.sub(rb"\1", b"".join(lines))
            lines, size, is_begun = [], 0, True
        elif is_begun:
            lines.append(line)
            size += len(line)
        elif line.strip():
            raise SourceError("expected an mbox that begins with a line From, got another file")
        if size > LIMIT:
            raise SourceError(f"a mail is larger than {LIMIT >> 20} MB")
        is_blank = not line.strip()
    if is_begun:
        yield _ESCAPED.sub(rb"\1", b"".join(lines))
