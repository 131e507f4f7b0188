r"""Formats: from the bytes of one file to its text, title and metadata.

    .md .markdown .mdx                        Markdown; front matter becomes metadata
    .rst                                      reStructuredText; header fields, such as those of a PEP, become metadata
    .html .htm .xhtml                         converted to Markdown; front matter becomes metadata
    .pdf .docx .pptx .xlsx .epub .ipynb       converted to Markdown
    .1 to .8                                  manual pages, converted to Markdown
    .txt .text .log .adoc .org .tex, others   read as plain text

What is not text, such as PDF, or a new format such as .odt, is converted in ``docsim.ingest.converters``.
Line ends become ``\n``. The encoding of text is detected, and bytes that are invalid in it become U+FFFD.
"""

from __future__ import annotations

import codecs
import re

from docsim.errors import SourceError
from docsim.ingest import converters, manpages, markup
from docsim.ingest.markup import FileContent

__all__ = ["FORMATS_VERSION", "SNIFFED", "SUFFIXES", "FileContent", "decode", "encoding", "is_binary", "read"]

FORMATS_VERSION = 1
"""Increase this when files are read differently than before, so that the next sync reads them again."""

SNIFFED = 8192
"""The number of bytes at the beginning of a file that decide whether it is text."""

_MARKDOWN = {".md", ".markdown", ".mdx"}
_HTML = {".html", ".htm", ".xhtml"}
_PLAIN = {".txt", ".text", ".log"}

SUFFIXES = frozenset({".rst", *_MARKDOWN, *_HTML, *_PLAIN, *markup.TITLES, *converters.SUFFIXES})
"""The suffixes of documents. Manual pages have ``manpages.SUFFIXES``, but are recognised by their content."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?([A-Za-z0-9_.:-]+)")


def read(data: bytes, suffix: str, name: str) -> FileContent:
    """Read the content of one file.

    Args:
        data: The raw content.
        suffix: The file's suffix, which decides the format, with its dot and in any case: ``.md``. Files with an
            unknown suffix are read as plain text.
        name: The file's path or name, from which a title is made when the content has none.

    Returns:
        The text, its title, which is not empty, and its metadata.

    Raises:
        SourceError: The content is binary, damaged or encrypted. The message is one clause for people.
    """
    suffix = suffix.lower()
    text = converters.convert(data, suffix) if suffix in converters.SUFFIXES else _read_text(data, suffix)
    return text if text.title else markup.titled(text, markup.readable(name))


def is_binary(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is something other than text."""
    return b"\0" in head[:SNIFFED] and not head.startswith(tuple(mark for mark, _ in _MARKS))


def decode(data: bytes, *, declared: str = "") -> str:
    r"""Return bytes as text, in the encoding that ``encoding`` detects, with ``\n`` line ends.

    Args:
        data: The whole text.
        declared: The encoding that the text itself declares, if any.
    """
    text = data.decode(encoding(data, declared=declared), "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def encoding(data: bytes, *, declared: str = "", whole: bool = True) -> str:
    """Return the encoding of a text: that of its byte order mark, UTF-8 if it is valid, or the most likely other one.

    Args:
        data: The text, or its beginning.
        declared: The encoding that the text itself declares. It is used when the text is not valid UTF-8.
        whole: Whether ``data`` is the whole text. If not, it may end within a character.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, final=whole)
    except UnicodeDecodeError:
        return next(filter(_is_usable, (declared, "utf-8" if _is_mostly_utf8(data) else "", _guess(data))), "cp1252")
    return "utf-8"


def _read_text(data: bytes, suffix: str) -> FileContent:
    if is_binary(data):
        raise SourceError("the file contains binary data, not text")
    if suffix in _HTML:
        return _read_html(data)
    text = decode(data)
    if suffix in _MARKDOWN:
        return markup.markdown(text)
    if suffix == ".rst":
        return markup.restructured(text)
    if suffix in manpages.SUFFIXES and manpages.is_manual(text):
        return manpages.read(text)
    for pattern in markup.TITLES.get(suffix, ()):
        if match := pattern.search(text):
            return FileContent(text, markup.clean(match[1]))
    return FileContent(text, markup.first_line(text) if suffix in _PLAIN or not suffix else "")


def _read_html(data: bytes) -> FileContent:
    match = _DECLARED.search(data[:2048])
    read = markup.front_matter(decode(data, declared=match[1].decode() if match else ""))
    page = converters.html(read.text)
    return FileContent(page.text, read.title or page.title, read.metadata)


def _is_usable(name: str) -> bool:
    """Return whether Python knows an encoding of this name that decodes text."""
    try:
        return bool(name) and isinstance(b"a".decode(name, "replace"), str)
    except (LookupError, UnicodeError):
        return False


def _is_mostly_utf8(data: bytes) -> bool:
    """Return whether at most one in six of the characters beyond ASCII is invalid as UTF-8."""
    text = data.decode("utf-8", "replace")
    beyond = len(text) - len(text.encode("ascii", "ignore"))
    return 6 * text.count("\ufffd") <= beyond


def _guess(data: bytes) -> str:
    """Guess the encoding from the first 64 kB. Returns nothing where Western European is as likely as any other."""
    from charset_normalizer import from_bytes

    matches = from_bytes(data[: 1 << 16])
    best = matches.best()
    if best is None or any("cp1252" in one.could_be_from_charset and one.chaos <= best.chaos for one in matches):
        return ""
    return best.encoding
