"""The errors docsim raises on purpose.

    DocsimError            any of the below; the command line prints its message and exits with ``exit_code``
    ├── UsageError         the request itself is wrong: an unknown id, an empty query, a bad option (exit 2)
    ├── SourceError        a source or one document in it cannot be read
    ├── EncoderError       an encoder directory is missing, damaged or of another format
    │   └── FingerprintMismatch   an index was asked to answer with an encoder that is not its own
    ├── StoreError        an index directory is missing, damaged or of another format
    │   └── IndexLocked    another process is writing to the index
    └── TrainingError      training material is too small, degenerate or inconsistent

Every message says what was expected, what came, and what to do next, in one or two sentences.
"""

from __future__ import annotations

__all__ = [
    "DocsimError",
    "EncoderError",
    "FingerprintMismatch",
    "IndexLocked",
    "SourceError",
    "StoreError",
    "TrainingError",
    "UsageError",
]


class DocsimError(Exception):
    """Base of every error that docsim raises on purpose."""

    exit_code = 1


class UsageError(DocsimError):
    """The request is wrong: an unknown id, an empty query, an impossible option."""

    exit_code = 2


class SourceError(DocsimError):
    """A source, or one document in it, cannot be read."""


class EncoderError(DocsimError):
    """An encoder directory is missing, damaged or of another format."""


class FingerprintMismatch(EncoderError):
    """An index was asked to answer with an encoder that is not its own."""


class StoreError(DocsimError):
    """An index directory is missing, damaged or of another format."""


class IndexLocked(StoreError):
    """Another process is writing to the index."""


class TrainingError(DocsimError):
    """Training material is too small, degenerate or inconsistent."""
