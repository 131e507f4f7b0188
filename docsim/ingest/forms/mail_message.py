"""One mail: what is kept of it, parsed in a process of its own; see ``docsim.ingest.forms.apart``."""

from __future__ import annotations

import email.utils
import hashlib
import re
from collections import Counter
from email.message import EmailMessage
from typing import Any

from docsim.errors import SourceError
from docsim.ingest import formats
from docsim.ingest.content import FileContent, legible, one_line, tidy
from docsim.ingest.forms import mailboxes, page
from docsim.ingest.forms.quoting import own_text

__all__ = ["attached", "message_id", "parsed"]

_IDS = re.compile(r"<([^<>\s]+)>")
_FORWARD = re.compile(r"(?:fwd?|wg|tr|enc)\s*:", re.IGNORECASE)
_PARTS = 1000  # of one mail
_INLINE = re.compile(r"image\d{3}\.(?:png|jpe?g|gif)\Z|smime\.p7s\Z|winmail\.dat\Z|signature\.asc\Z", re.IGNORECASE)


def parsed(data: bytes) -> FileContent:
    """Return a mail: its text, and what else is kept of it as metadata; ``failure`` says why it cannot be read.

    Raises:
        SourceError: It is nested too deeply.
    """
    message = mailboxes.parsed(data)
    try:
        found = _read(message)
        return FileContent(found.pop("text"), "", found)
    except SourceError as error:
        reason = str(error)
    except Exception as error:
        reason = f"the mail is damaged ({type(error).__name__})"
    return FileContent("", "", {"id": message_id(message), "failure": reason})


def _read(message: EmailMessage) -> dict[str, Any]:
    subject = one_line(_header(message, "Subject"))
    references = [*_IDS.findall(_header(message, "References")), *_IDS.findall(_header(message, "In-Reply-To"))]
    labels = [one.strip() for name in ("X-Gmail-Labels", "Keywords") for one in _header(message, name).split(",")]
    to = email.utils.getaddresses([_header(message, "To"), _header(message, "Cc")])
    return {
        "id": message_id(message),
        "parents": tuple(dict.fromkeys(references)),
        "subject": subject,
        "author": _person(_header(message, "From")),
        "to": tuple(dict.fromkeys(one_line(name or address) for name, address in to if name or address)),
        "date": _date(message),
        "text": tidy(own_text(_body(message), forwarded=bool(_FORWARD.match(subject)))),
        "labels": tuple(filter(None, labels)),
        "attachments": tuple(attached(message)),
    }


def _header(message: EmailMessage, name: str) -> str:
    """Return a header's text; empty where there is none, or it cannot be parsed."""
    try:
        return " ".join(str(message[name] or "").split())
    except Exception:  # the parser of headers raises many kinds of errors for damaged ones
        return " ".join(value for key, value in message.raw_items() if key.lower() == name.lower())


def message_id(message: EmailMessage) -> str:
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


def _body(message: EmailMessage) -> str:
    """Return the text of a mail; of several versions the plain one, if it says anything.

    Raises:
        SourceError: It is a page that cannot be converted, or not in time.
    """
    plain = message.get_body(("plain",))
    text = legible(_content(plain)) if plain is not None else ""
    if not text.strip() and (rich := message.get_body(("html",))) is not None:
        data = _content(rich).encode("utf-8", "replace") or b" "
        text = formats.read(data, ".html", "mail").text
    return text.replace("\r\n", "\n")


def _content(part: object) -> str:
    """Return the text of a part, in whatever way it can be decoded."""
    assert isinstance(part, EmailMessage)
    try:
        return str(part.get_content())
    except (LookupError, ValueError, AssertionError):
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def attached(message: EmailMessage) -> dict[str, EmailMessage]:
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
