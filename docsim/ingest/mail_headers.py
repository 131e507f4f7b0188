"""Mails, parsed by Python's parser with limits for headers: it takes quadratic time for long ones.

A header that Python cannot parse is text; of parameters that it cannot parse, none is left. A long list of addresses is
text, too, with its encoded words decoded.
"""

from __future__ import annotations

import contextlib
import email
import functools
from email.headerregistry import UnstructuredHeader
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import Any

__all__ = ["parsed"]

_LONGEST = 20_000
"""Characters of a header that are read."""

_LONGEST_WITH_PARTS = 2_000
"""Characters of a header with a syntax of its own, such as addresses or parameters, that Python's parser gets."""

_ADDRESSES = frozenset({"to", "cc", "bcc", "from", "sender", "reply-to"})
_TEXT = "Subject"  # any text is one
_PLAIN = EmailPolicy()


class _Limited(EmailPolicy):
    """Python's usual policy with limits."""

    def header_fetch_parse(self, name: str, value: str) -> Any:
        """Return a header's value, of which a name, an address or a parameter may be asked."""
        return value if hasattr(value, "name") else _parsed(name, value[:_LONGEST])

    def fold(self, name: str, value: str) -> str:
        """Return a header as it is written; a long one is not broken into new lines."""
        return super().fold(name, value) if len(value) <= _LONGEST_WITH_PARTS else f"{name}: {value}{self.linesep}"

    def fold_binary(self, name: str, value: str) -> bytes:
        """Return a header as it is written, in bytes."""
        if len(value) <= _LONGEST_WITH_PARTS:
            return super().fold_binary(name, value)
        return self.fold(name, value).encode("ascii", "surrogateescape")


_POLICY = _Limited()


def parsed(data: bytes) -> EmailMessage:
    """Parse a mail."""
    mail = email.message_from_bytes(data, policy=_POLICY)
    assert isinstance(mail, EmailMessage)
    return mail


@functools.lru_cache(64)  # a mail is asked for its type several times
def _parsed(name: str, value: str) -> Any:
    is_long = len(value) > _LONGEST_WITH_PARTS
    if is_long and name.lower() in _ADDRESSES:
        return _PLAIN.header_fetch_parse(_TEXT, value)
    if is_long and not isinstance(_PLAIN.header_factory(name, ""), UnstructuredHeader):
        value = value[:_LONGEST_WITH_PARTS]
    has_parameters = name.lower().startswith("content-")
    for tried in (value, value.partition(";")[0], "") if has_parameters else (value,):
        with contextlib.suppress(Exception):  # the parser of headers raises many kinds of errors for damaged ones
            return _PLAIN.header_fetch_parse(name, tried)
    return _PLAIN.header_fetch_parse(_TEXT, value)
