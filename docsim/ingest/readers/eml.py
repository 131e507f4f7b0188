"""Mails: the subject as title, the body as text, sender, receivers and date as metadata; attachments are not read."""

from __future__ import annotations

from email.message import EmailMessage

from docsim.ingest import mail_headers
from docsim.ingest.content import FileContent, one_line, tidy
from docsim.ingest.readers import html
from docsim.ingest.readers.office import counted

__all__ = ["read"]

_FIELDS = {"From": "from", "To": "to", "Cc": "cc", "Message-ID": "message_id"}


def read(data: bytes) -> FileContent:
    """Read a mail; of several versions of its body the plain one."""
    mail = mail_headers.parsed(data)
    body = mail.get_body(("plain", "html"))
    text = str(body.get_content()) if body is not None else ""
    if body is not None and body.get_content_type() == "text/html":
        text = html.read(text).text
    attachments = sum(1 for _ in mail.iter_attachments())
    lost = (counted(attachments, "attachment"),) if attachments else ()
    return FileContent(tidy(text.replace("\r\n", "\n")), one_line(str(mail["Subject"] or "")), _metadata(mail), lost)


def _metadata(mail: EmailMessage) -> dict[str, str]:
    found = {field: one_line(str(mail[name])) for name, field in _FIELDS.items() if mail[name]}
    date = getattr(mail["Date"], "datetime", None)
    return found | ({"date": date.isoformat()} if date else {})
