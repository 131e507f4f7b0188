"""What is attached to a mail, taken out of it in a process of its own; see ``docsim.ingest.forms.apart``."""

from __future__ import annotations

import base64

from docsim.ingest.content import FileContent
from docsim.ingest.forms import mailboxes
from docsim.ingest.forms.mail_message import attached, message_id

__all__ = ["parsed"]


def parsed(data: bytes) -> FileContent:
    """Return the content of each attachment of a mail in Base64, a line each, and their names as metadata.

    Raises:
        SourceError: It is nested too deeply.
    """
    message = mailboxes.parsed(data)
    parts = attached(message)
    payloads = [part.get_payload(decode=True) for part in parts.values()]
    lines = [base64.b64encode(one if isinstance(one, bytes) else b"").decode("ascii") for one in payloads]
    return FileContent("\n".join(lines), "", {"id": message_id(message), "names": list(parts)})
