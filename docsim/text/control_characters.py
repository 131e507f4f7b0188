"""Control characters, spelled out: titles, ids, texts and names of files come from others.

Sent to a terminal, they would move the cursor, rename the window or turn the direction of the text. A byte of a file's
name that is not UTF-8, which Python keeps as an unpaired surrogate, could not be written at all.
"""

from __future__ import annotations

import json
import logging
import re

__all__ = ["escaped", "json_text", "log_to_standard_error", "masked", "visible"]

_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tabs and line feeds, marks of the direction of text, and unpaired surrogates."""


def visible(text: str) -> str:
    """Return a text with its control characters spelled out: an escape as ``x1b`` after a backslash."""
    return _INVISIBLE.sub(lambda match: ascii(match[0])[1:-1], text)


def masked(text: str) -> str:
    """Return a text of the same length with a U+FFFD in the place of each control character."""
    return _INVISIBLE.sub("\ufffd", text)


def json_text(found: object, *, indent: int | None = None) -> str:
    """Return JSON in which every control character is escaped."""
    return escaped(json.dumps(found, ensure_ascii=False, indent=indent))


def escaped(written: str) -> str:
    """Return JSON, whose control characters all stand in strings, with every one of them escaped."""
    return _INVISIBLE.sub(lambda match: f"\\u{ord(match[0]):04x}", written)


def log_to_standard_error(level: int) -> None:
    """Write what is logged to standard error, without control characters."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Visible("%(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


class _Visible(logging.Formatter):
    """Writes each message on one line, so that no name in it feigns another; tracebacks keep their lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # as logging calls it
        return super().formatMessage(record).strip("\n").replace("\n", "\\n")

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))
