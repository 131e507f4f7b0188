"""Mailboxes: the mails in mbox files, Maildirs and folders of ``.eml``, ``.emlx`` and ``.msg`` files, one by one."""

from __future__ import annotations

import contextlib
import importlib.util
import re
from collections.abc import Iterator, Sequence
from email.message import EmailMessage, Message
from typing import IO

from docsim.errors import SourceError
from docsim.ingest import conversion_pool, mail_headers
from docsim.ingest.conversion_pool import Conversion
from docsim.ingest.trees.tree import Single, Tree, id_of
from docsim.models import Failure

__all__ = ["LIMIT", "MAIL", "begins_mbox", "is_mail", "is_mbox", "mails"]

MAIL = (".eml", ".emlx", ".msg")
"""The suffixes of files that hold one mail."""

LIMIT = 1 << 28
"""The largest mail, in bytes."""

_MBOX = re.compile(r"\.(?:mbox|mbx)(?:/mbox)?\Z", re.IGNORECASE)
_DEEPEST = 50  # parts of a mail in parts
_MAILDIR = re.compile(r"(?:^|/)(?:cur|new)/[^/]+\Z")
_ESCAPED = re.compile(rb"^>(>*From )", re.MULTILINE)
_FROM = re.compile(rb"From \S.{0,300}\d\d:\d\d|From - \w")
_BEGINNING = re.compile(rb"From [^\n]{0,300}\r?\n[A-Za-z][\w-]*:")


def is_mbox(path: str, names: Sequence[str] = ()) -> bool:
    """Return whether a file is an mbox, by its name; one of Thunderbird has an index ``.msf`` beside it."""
    return bool(_MBOX.search(path)) or f"{path}.msf" in names


def begins_mbox(head: bytes) -> bool:
    """Return whether a file that begins so is an mbox, whatever its name."""
    return bool(_BEGINNING.match(head))


def is_mail(path: str) -> bool:
    """Return whether a file holds one mail, by its name."""
    return path.lower().endswith(MAIL) or bool(_MAILDIR.search(path))


def mails(tree: Tree) -> Iterator[tuple[str, EmailMessage] | Failure]:
    """Yield every mail of a tree, with the path of the mailbox that it is in."""
    names = set(tree.files)
    for path in tree.files:
        try:
            if is_mail(path):
                yield _mailbox(path), _one(path, tree.read(path), tree.how)
            elif isinstance(tree, Single) or is_mbox(path, (f"{path}.msf",) if f"{path}.msf" in names else ()):
                with tree.open(path) as stream:
                    for data in _messages(stream):
                        yield _guarded(path, data)
        except (SourceError, OSError) as error:
            yield Failure(id_of(path), str(error), identified=False)


def _guarded(path: str, data: bytes) -> tuple[str, EmailMessage] | Failure:
    """Return a mail of an mbox; one that cannot be parsed stops no other."""
    try:
        return id_of(path), parsed(data)
    except SourceError as error:
        return Failure(id_of(path), str(error), identified=False)


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


def _one(path: str, data: bytes, how: Conversion) -> EmailMessage:
    suffix = path.lower().rpartition(".")[2]
    if suffix == "msg":
        if importlib.util.find_spec("oxmsg") is None:
            raise SourceError('reading .msg files needs the extra "files": pip install "docsim[files]"')
        written = conversion_pool.parse(data, "outlook", how=how).text
        return parsed(written.encode("ascii", "surrogateescape"))
    if suffix == "emlx":  # Apple Mail: the length, the mail, and a property list
        first, _, rest = data.partition(b"\n")
        data = rest[: int(first)] if first.strip().isdigit() else data
    return parsed(data)


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
