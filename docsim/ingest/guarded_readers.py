"""Guarded readers: picks the reader of a format that is not text, and turns whatever it raises into a SourceError.

The readers are in ``docsim.ingest.readers``, one module for each format. Only they hand users' files to parsers that
others wrote, so any error may come out of them; here it becomes a ``SourceError`` with a reason in plain words. The
readers and their libraries are imported when they are first needed.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TypeVar

from docsim import extras, offline
from docsim.errors import MissingExtra, SourceError
from docsim.ingest.content import FileContent

__all__ = ["SUFFIXES", "convert", "declared_encoding", "html", "mail", "require"]

logger = logging.getLogger(__name__)
_Content = TypeVar("_Content", bytes, str)

_READERS = {
    **{".docx": "docx", ".docm": "docx", ".dotx": "docx", ".epub": "epub", ".ipynb": "ipynb", ".pdf": "pdf"},
    **{".pptx": "pptx", ".pptm": "pptx", ".xlsx": "xlsx", ".xlsm": "xlsx", ".xltx": "xlsx"},
}

_WITH_HIDDEN = {"pptx", "xlsx"}

SUFFIXES = frozenset(_READERS)
"""The suffixes of the files that ``convert`` reads, each with a module in ``docsim.ingest.readers``."""


def convert(data: bytes, suffix: str, *, hidden: bool = True) -> FileContent:
    """Convert a file to Markdown.

    Args:
        data: The file's content.
        suffix: One of ``SUFFIXES``.
        hidden: Whether hidden sheets and slides are read.

    Returns:
        The text, and the title that the file gives itself; empty when there is none.

    Raises:
        SourceError: The file is damaged, encrypted, too large when unpacked, or contains no text; or the extra
            ``files``, which reads such files, is not installed.
    """
    require(suffix)
    options = {"hidden": hidden} if _READERS[suffix] in _WITH_HIDDEN else {}
    content = _guarded(_reader(_READERS[suffix], **options), data, kind=suffix[1:])
    if not content.text.strip():
        raise SourceError("the file contains no text; it may be made of scanned images")
    return content


def require(suffix: str) -> None:
    """Raise an error if files with a suffix cannot be read here.

    Raises:
        SourceError: The extra ``files``, which reads such files, is not installed.
    """
    if suffix.lower() not in SUFFIXES:
        return
    try:
        extras.require("files", f"reading {suffix} files")
    except MissingExtra as error:  # a reason why this document cannot be read; others can
        raise SourceError(str(error)) from error


def html(text: str) -> FileContent:
    """Convert HTML to Markdown, without navigation and scripts.

    Raises:
        SourceError: The page cannot be converted.
    """
    return _guarded(_reader("html"), text, kind="HTML")


def mail(data: bytes) -> FileContent:
    """Read a mail.

    Raises:
        SourceError: It cannot be read.
    """
    return _guarded(_reader("eml"), data, kind="mail")


def declared_encoding(data: bytes) -> str:
    """Return the encoding that an HTML page declares for itself; empty when there is none."""
    from docsim.ingest.readers import html as pages

    return pages.declared_encoding(data)


def _reader(name: str, **options: bool) -> Callable[[bytes | str], FileContent]:
    reader: Callable[[bytes | str], FileContent] = partial(
        import_module(f"docsim.ingest.readers.{name}").read, **options
    )
    return reader


def _guarded(reader: Callable[[_Content], FileContent], content: _Content, *, kind: str) -> FileContent:
    """Call a reader, and turn whatever it raises into a ``SourceError``."""
    offline.before_onnxruntime()  # markitdown's file type detection imports it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return reader(content)
    except SourceError:
        raise
    except Exception as error:
        logger.debug("conversion failed", exc_info=True)
        raise SourceError(
            f"the file is damaged, or is not the {kind} file that its name says ({type(error).__name__})"
        ) from error
