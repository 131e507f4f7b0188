"""Mail: mbox, Maildir, ``.eml`` and ``.msg``.

A thread is a document, with what each mail adds to it: without what it quotes of others, and without signatures. The
first mail's ``Message-ID`` is its id, so that it stays the same wherever the mails are moved. A mail that lies in
several mailboxes counts once. Attachments are documents of their own. Mails are parsed by ``mail_message``, and what is
attached is taken out of them by ``mail_attachments``, both in processes of their own.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from docsim.errors import SourceError
from docsim.ingest import folders, formats
from docsim.ingest.content import FileContent
from docsim.ingest.conversion_pool import Conversion
from docsim.ingest.forms import apart, page
from docsim.ingest.forms.mailboxes import MAIL, Place, begins_mbox, is_mail, is_mbox, mails
from docsim.ingest.trees.tree import Single, Tree, id_of
from docsim.models import Document, Entry, Failure, Item, LeftOut

__all__ = ["documents", "recognise"]

_REPLY = re.compile(r"(?:(?:re|aw|sv|vs|antw|odp|ref|res|rv|fwd?|wg|tr|enc)(?:\[\d+\])?\s*[:：]\s*)+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Mail:
    """What is kept of a mail."""

    id: str
    parents: tuple[str, ...]
    subject: str
    author: str
    to: tuple[str, ...]
    date: str
    text: str
    mailbox: str
    labels: tuple[str, ...]
    attachments: tuple[str, ...] = field(default=())


def recognise(tree: Tree) -> bool:
    """Return whether a tree holds an mbox or a Maildir, or mostly mails; or is one of them."""
    names = [name for name in tree.glance() if not name.endswith("/") and not name.rpartition("/")[2].startswith(".")]
    if isinstance(tree, Single) and not is_mail(names[0]):
        return begins_mbox(tree.read(names[0], most=1000))
    known = set(names)
    found = [name for name in names if is_mbox(name, (f"{name}.msf",) if f"{name}.msf" in known else ())]
    if found:
        return any(tree.read(name, most=5) in (b"From ", b"") for name in found[:5])
    mail = [name for name in names if is_mail(name)]
    if not any(name.lower().endswith(MAIL) for name in mail):
        mail = [name for name in mail if re.search(r"(?:^|/)(?:cur|new)/\d+\.\S+\Z", name)]
    return 2 * len(mail) > len(names)


def documents(tree: Tree) -> Iterator[Item]:
    """Yield threads, and then what was attached to their mails."""
    found: dict[str, _Mail] = {}
    attached = set[int]()
    for place, one in apart.in_order(mails(tree, "mail_message")):
        if isinstance(one, Failure):
            yield one
        elif isinstance(read := _read(place, one), Failure):
            yield read
        else:
            before = found.get(read.id)
            if before is None and read.attachments:
                attached.add(place.number)
            found[read.id] = read if before is None else _merged(before, read)
    roots = _roots(found)
    threads: dict[str, list[_Mail]] = defaultdict(list)
    for mail in found.values():
        threads[roots[mail.id]].append(mail)
    for root, thread in sorted(threads.items()):
        yield _document(root, sorted(thread, key=lambda mail: (mail.date, mail.id)))
    if attached:
        yield from _attachments(tree, roots, found, attached)


def _read(place: Place, found: FileContent | SourceError) -> _Mail | Failure:
    """Return a mail, or why it cannot be read."""
    if isinstance(found, SourceError):
        return Failure(id_of(place.path), str(found), identified=False)
    facts = dict(found.metadata)
    if reason := facts.get("failure"):
        return Failure(facts["id"], reason)
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
    return _Mail(**values, text=found.text, mailbox=place.mailbox)


def _merged(one: _Mail, other: _Mail) -> _Mail:
    """Return a mail that was found in two mailboxes."""
    labels = tuple(dict.fromkeys([*one.labels, *other.labels]))
    boxes = dict.fromkeys([*one.mailbox.split(", "), *other.mailbox.split(", ")])
    values = {name: getattr(one, name) for name in _Mail.__slots__}
    return _Mail(**{**values, "labels": labels, "mailbox": ", ".join(filter(None, boxes))})


def _roots(found: Mapping[str, _Mail]) -> dict[str, str]:
    """Return the id of the thread that each mail belongs to: that of the first mail that its mails refer to."""
    above: dict[str, str] = {}

    def root(id: str) -> str:
        seen = [id]
        while (parent := above.get(seen[-1])) is not None:
            seen.append(parent)
        for one in seen[:-1]:
            above[one] = seen[-1]
        return seen[-1]

    for mail in found.values():
        chain = [*mail.parents, mail.id]
        for parent, child in itertools.pairwise(chain):
            first, second = root(parent), root(child)
            if first != second:
                above[second] = first
    return {id: root(id) for id in found}


def _document(root: str, thread: Sequence[_Mail]) -> Document:
    said = [f"## {mail.author}, {mail.date}\n\n{mail.text}" if len(thread) > 1 else mail.text for mail in thread]
    return page.page(
        root,
        "\n\n".join(said),
        _REPLY.sub("", thread[0].subject) or thread[0].subject,
        author=page.several(mail.author for mail in thread),
        to=page.several(one for mail in thread for one in mail.to),
        created=thread[0].date,
        updated=thread[-1].date,
        mailbox=page.several(box for mail in thread for box in mail.mailbox.split(", ")),
        labels=sorted({label for mail in thread for label in mail.labels}),
        messages=len(thread),
        attachments=[f"{root}/{name}" for mail in thread for name in mail.attachments],
    )


def _attachments(
    tree: Tree, roots: Mapping[str, str], found: Mapping[str, _Mail], attached: Container[int]
) -> Iterator[Item]:
    """Yield what is attached to mails, which are read once more, each mail once; their numbers are given."""
    sent = set[tuple[str, bytes]]()
    seen, given = set[str](), dict[str, bytes]()
    for place, one in apart.in_order(mails(tree, "mail_attachments", attached)):
        if isinstance(one, SourceError):
            yield Failure(id_of(place.path), f"the attachments of a mail: {one}", identified=False)
        if not isinstance(one, FileContent):
            continue  # told when the mails were read
        mail = found.get(one.metadata["id"])
        if mail is None or mail.id in seen or not mail.attachments:
            continue
        seen.add(mail.id)
        for name, line in zip(one.metadata["names"], one.text.split("\n"), strict=False):
            data = base64.b64decode(line)
            thread, hashed = roots[mail.id], hashlib.sha256(data).digest()
            id = f"{thread}/{name}"
            if given.setdefault(id, hashed) != hashed:
                id = f"{thread}/{mail.id}/{name}"
                given[id] = hashed
            elif (id, hashed) in sent:
                continue  # answers often send an attachment once more
            sent.add((id, hashed))
            yield _attachment(id, data, mail, thread, tree.how)


def _attachment(id: str, data: bytes, mail: _Mail, thread: str, how: Conversion) -> Entry | LeftOut:
    name = id.rpartition("/")[2]
    if reason := folders.unread(name):
        return LeftOut(id, reason)
    facts = {"parent": thread, "author": mail.author, "created": mail.date}
    digest = hashlib.sha256(data + repr([id, facts, formats.FORMATS_VERSION]).encode("utf-8", "surrogatepass"))

    return page.later(id, digest.hexdigest(), lambda: data, lambda found: page.converted(found, id, how, **facts))
