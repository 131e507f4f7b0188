"""Outlook: ``.msg`` files as the mails that they were; python-oxmsg reads the format, which Microsoft documents."""

from __future__ import annotations

import email.utils
import hashlib
import io
from email.message import EmailMessage

from oxmsg import Message

from docsim.errors import SourceError
from docsim.ingest.content import FileContent

__all__ = ["parsed"]

_NUMBERS = {"Message-ID": 0x1035, "In-Reply-To": 0x1042, "References": 0x1039}  # where no header was sent, as in drafts
_KEPT = ("Message-ID", "In-Reply-To", "References", "Date", "Cc")


def parsed(data: bytes) -> FileContent:
    """Return the mail in a ``.msg`` file, as it would be written in an ``.eml`` file.

    Raises:
        SourceError: It is damaged, or holds something else than a mail.
    """
    try:
        made = _made(Message.load(io.BytesIO(data)))
        if made.is_multipart():
            made.set_boundary(hashlib.sha256(data).hexdigest()[:32])  # else another one each time
        return FileContent(made.as_bytes().decode("ascii", "surrogateescape"))
    except Exception as error:
        raise SourceError(
            f"the file is damaged, or is not the .msg file that its name says ({type(error).__name__})"
        ) from error


def _made(message: Message) -> EmailMessage:
    made = EmailMessage()
    headers = {name.lower(): value for name, value in message.message_headers.items()}
    for name in _KEPT:
        if value := headers.get(name.lower()):
            made[name] = " ".join(value.split())
    for name, number in _NUMBERS.items():
        if name not in made and (value := message.properties.str_prop_value(number)):
            made[name] = " ".join(value.split())
    made["Subject"] = " ".join((message.subject or "").split())
    made["From"] = " ".join((message.sender or "").split())
    made["To"] = ", ".join(email.utils.formataddr((one.name, one.email_address)) for one in message.recipients)
    if "Date" not in made and message.sent_date:
        made["Date"] = email.utils.format_datetime(message.sent_date)
    if message.body or not message.html_body:
        made.set_content((message.body or "").replace("\r\n", "\n"))
    else:
        made.set_content(message.html_body, subtype="html")
    for one in message.attachments:
        if one.file_bytes:
            made.add_attachment(one.file_bytes, "application", "octet-stream", filename=one.file_name or "attachment")
    return made
