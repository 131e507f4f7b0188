"""Mail: mbox, Maildir, ``.eml`` and ``.msg``.

A thread is a document, with what each mail adds to it: without what it quotes of others, and without signatures. The
first mail's ``Message-ID`` is its id, so that it stays the same wherever the mails are moved. A mail that lies in
several mailboxes counts once. Attachments are documents of their own.
"""

from __future__ import annotations

import email.errors
import email.utils
import hashlib
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage

from docsim.errors import SourceError
from docsim.ingest import conversion_pool, folders, formats
from docsim.ingest.content import legible, one_line, tidy
from docsim.ingest.conversion_pool import Conversion
from docsim.ingest.forms import page
from docsim.ingest.forms.mailboxes import MAIL, begins_mbox, is_mail, is_mbox, mails
from docsim.ingest.forms.quoting import own_text
from docsim.ingest.trees.tree import Single, Tree
from docsim.models import Document, Entry, Failure, Item, LeftOut

__all__ = ["documents", "recognise"]

_IDS = re.compile(r"<([^<>\s]+)>")
_REPLY = re.compile(r"(?:(?:re|aw|sv|vs|antw|odp|ref|res|rv|fwd?|wg|tr|enc)(?:\[\d+\])?\s*[:：]\s*)+", re.IGNORECASE)
_FORWARD = re.compile(r"(?:fwd?|wg|tr|enc)\s*:", re.IGNORECASE)
_PARTS = 1000  # of one mail
_INLINE = re.compile(r"image\d{3}\.(?:png|jpe?g|gif)\Z|smime\.p7s\Z|winmail\.dat\Z|signature\.asc\Z", re.IGNORECASE)


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
    for one in mails(tree):
        if isinstance(one, Failure):
            yield one
        elif isinstance(read := _guarded(*one, tree.how), Failure):
            yield read
        else:
            before = found.get(read.id)
            found[read.id] = read if before is None else _merged(before, read)
    roots = _roots(found)
    threads: dict[str, list[_Mail]] = defaultdict(list)
    for mail in found.values():
        threads[roots[mail.id]].append(mail)
    for root, thread in sorted(threads.items()):
        yield _document(root, sorted(thread, key=lambda mail: (mail.date, mail.id)))
    if any(mail.attachments for mail in found.values()):
        yield from _attachments(tree, roots, found)


def _guarded(mailbox: str, message: EmailMessage, how: Conversion) -> _Mail | Failure:
    """Read a mail; what a damaged one makes the parser raise becomes a failure."""
    try:
        return _read(mailbox, message, how)
    except SourceError as error:
        return Failure(_id(message), str(error))
    except Exception as error:
        return Failure(_id(message), f"the mail is damaged ({type(error).__name__})")


def _read(mailbox: str, message: EmailMessage, how: Conversion) -> _Mail:
    subject = one_line(_header(message, "Subject"))
    references = [*_IDS.findall(_header(message, "References")), *_IDS.findall(_header(message, "In-Reply-To"))]
    labels = [one.strip() for name in ("X-Gmail-Labels", "Keywords") for one in _header(message, name).split(",")]
    to = email.utils.getaddresses([_header(message, "To"), _header(message, "Cc")])
    return _Mail(
        id=_id(message),
        parents=tuple(dict.fromkeys(references)),
        subject=subject,
        author=_person(_header(message, "From")),
        to=tuple(dict.fromkeys(one_line(name or address) for name, address in to if name or address)),
        date=_date(message),
        text=tidy(own_text(_body(message, how), forwarded=bool(_FORWARD.match(subject)))),
        mailbox=mailbox,
        labels=tuple(filter(None, labels)),
        attachments=tuple(_attached(message)),
    )


def _header(message: EmailMessage, name: str) -> str:
    """Return a header's text; empty where there is none, or it cannot be parsed."""
    try:
        return " ".join(str(message[name] or "").split())
    except Exception:  # the parser of headers raises many kinds of errors for damaged ones
        return " ".join(value for key, value in message.raw_items() if key.lower() == name.lower())


def _id(message: EmailMessage) -> str:
    """Return the id of a mail, or a hash of it where it has none."""
    written = _header(message, "Message-ID")
    found = _IDS.search(written)
    if found or written:
        return found[1] if found else written.strip("<> ")
    return hashlib.sha256(message.as_bytes()).hexdigest()[:32]


def _person(written: str) -> str:
    name, address = email.utils.parseaddr(written)
    return one_line(name or address or written)


def _date(message: EmailMessage) -> str:
    return page.iso(_header(message, "Date") or _header(message, "Delivery-date"))


def _body(message: EmailMessage, how: Conversion) -> str:
    """Return the text of a mail; of several versions the plain one, if it says anything.

    Raises:
        SourceError: It is a page that cannot be converted, or not in time.
    """
    plain = message.get_body(("plain",))
    text = legible(_content(plain)) if plain is not None else ""
    if not text.strip() and (rich := message.get_body(("html",))) is not None:
        data = _content(rich).encode("utf-8", "replace") or b" "
        text = conversion_pool.read(data, ".html", "mail", how=how).text
    return text.replace("\r\n", "\n")


def _content(part: object) -> str:
    """Return the text of a part, in whatever way it can be decoded."""
    assert isinstance(part, EmailMessage)
    try:
        return str(part.get_content())
    except (LookupError, ValueError, AssertionError):
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def _attached(message: EmailMessage) -> dict[str, EmailMessage]:
    """Return what is attached to a mail, by name; a number is added to a name that comes again."""
    found: dict[str, EmailMessage] = {}
    counts = Counter[str]()
    for number, part in enumerate(message.walk()):
        name = _file_name(part)
        if number >= _PARTS or not name or part.is_multipart() or _INLINE.match(name):
            continue
        counts[name] += 1
        stem, dot, suffix = name.rpartition(".")
        found[name if counts[name] == 1 else f"{stem or suffix} ({counts[name]}){dot}{suffix if stem else ''}"] = part
    return found


def _file_name(part: EmailMessage) -> str:
    try:
        name = part.get_filename() or ""
    except Exception:  # as in _header
        name = ""
    return one_line(name.replace("\\", "/").rpartition("/")[2])


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


def _attachments(tree: Tree, roots: Mapping[str, str], found: Mapping[str, _Mail]) -> Iterator[Item]:
    """Yield the attachments of all mails, which are read once more, each mail once."""
    sent = set[tuple[str, bytes]]()
    seen, given = set[str](), dict[str, bytes]()
    for one in mails(tree):
        if isinstance(one, Failure):
            continue
        mail = found.get(_id(one[1]))
        if mail is None or mail.id in seen or not mail.attachments:
            continue
        seen.add(mail.id)
        for name, part in _attached(one[1]).items():
            payload = part.get_payload(decode=True)
            data = payload if isinstance(payload, bytes) else b""
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
