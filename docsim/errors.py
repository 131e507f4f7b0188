"""The errors that docsim raises on purpose.

    DocsimError            the base class; the command line prints the message and exits with ``exit_code``
    ├── UsageError         the request is wrong: an unknown id, an empty query, a value out of range (exit 2)
    │   └── MissingExtra   what was asked for needs an optional part of docsim that is not installed
    ├── SourceError        a source, or one document in it, cannot be read
    ├── EncoderError       an encoder directory is missing, damaged or of another format
    │   ├── EncoderGone    an encoder's directory was removed after it had been loaded
    │   └── FingerprintMismatch   the encoder is not the one that the index was built with
    ├── StoreError         an index directory is missing, damaged or of another format
    │   ├── IndexChanged   the index was changed while it was read; asking again helps
    │   ├── IndexLocked    another process is writing to the index
    │   └── Unreachable    the server that keeps the index cannot be reached, or was lost
    └── TrainingError      training material is too small, degenerate or inconsistent

A message says what was expected, what was found and what to do next, in one or two sentences. It is read by people who
use docsim from Python or over HTTP as well, so it names no command and no command-line option. Those go into ``hint``:

    raise StoreError("the embeddings of a.md are damaged; repair the index", hint="docsim repair --index DIR")

which the command line prints as::

    Error: the embeddings of a.md are damaged; repair the index. Try: docsim repair --index DIR
"""

from __future__ import annotations

import re

__all__ = [
    "DocsimError",
    "EncoderError",
    "EncoderGone",
    "FingerprintMismatch",
    "IndexChanged",
    "IndexLocked",
    "MissingExtra",
    "SourceError",
    "StoreError",
    "TrainingError",
    "Unreachable",
    "UsageError",
]


_BREAK = re.compile(r"(?<!\s)\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def _spelled_out(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


class DocsimError(Exception):
    """The base class of every error that docsim raises on purpose.

    Attributes:
        exit_code: What the process exits with when the command line meets the error.
        hint: A command or an option that helps, for the command line only; None when there is none. It is not part of
            the message.
    """

    exit_code = 1

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        """Make an error from a message for everybody and a hint for users of the command line.

        The message becomes one line: it may quote names and texts from files, with any characters in them.
        """
        super().__init__(_CONTROL.sub(_spelled_out, _BREAK.sub(" ", message)))
        self.hint = hint


class UsageError(DocsimError):
    """The request is wrong: an unknown id, an empty query, a value out of range."""

    exit_code = 2


class MissingExtra(UsageError, ImportError):
    """What was asked for needs an extra, such as ``docsim[map]``, that is not installed; also an ``ImportError``."""


class SourceError(DocsimError):
    """A source, or one document in it, cannot be read."""


class EncoderError(DocsimError):
    """An encoder directory is missing, damaged or of another format."""


class EncoderGone(EncoderError):
    """An encoder's directory was removed after it had been loaded, such as that of a generation that was pruned."""


class FingerprintMismatch(EncoderError):
    """The encoder is not the one that the index was built with."""


class StoreError(DocsimError):
    """An index directory is missing, damaged or of another format."""


class IndexChanged(StoreError):
    """The index was changed while it was read; asking again helps."""


class IndexLocked(StoreError):
    """Another process is writing to the index."""


class Unreachable(StoreError):
    """The server that keeps the index cannot be reached, or the connection to it was lost; asking again may help."""


class TrainingError(DocsimError):
    """Training material is too small, degenerate or inconsistent."""
