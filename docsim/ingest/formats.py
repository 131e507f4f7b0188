r"""Formats: the bytes of one file -> its text, title and metadata.

    .md .markdown .mdx                        Markdown; front matter becomes metadata
    .rst                                      reStructuredText; header fields, as a PEP has them, become metadata
    .html .htm .xhtml                         HTML, with or without front matter -> Markdown
    .pdf .docx .pptx .xlsx .epub .ipynb       -> Markdown
    .1 ... .8                                 manual pages -> Markdown
    .txt .text .log .adoc .org .tex, others   the text as it is

Line ends become ``\n``. Text may be of any encoding; bytes that do not fit become U+FFFD.
"""

from __future__ import annotations

import codecs
import re

from docsim.errors import SourceError
from docsim.ingest import converters, manpages, markup
from docsim.ingest.markup import Text

__all__ = ["FORMATS_VERSION", "SNIFFED", "SUFFIXES", "Text", "decode", "encoding", "is_binary", "read"]

FORMATS_VERSION = 1
"""Raise it when files read differently than before, so that they are read again."""

SNIFFED = 8192
"""Bytes at the beginning of a file that tell whether it is text."""

_MARKDOWN = {".md", ".markdown", ".mdx"}
_HTML = {".html", ".htm", ".xhtml"}
_PLAIN = {".txt", ".text", ".log"}

SUFFIXES = frozenset({".rst", *_MARKDOWN, *_HTML, *_PLAIN, *markup.TITLES, *converters.SUFFIXES})
"""Suffixes of documents; manual pages are known by ``manpages.SUFFIXES`` and their content."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?([A-Za-z0-9_.:-]+)")


def read(data: bytes, suffix: str, name: str) -> Text:
    """Read the content of one file.

    Args:
        data: The raw content.
        suffix: What decides the format, with its dot, in either case: ``.md``; any other is read as plain text.
        name: The file's path or name, of which a title is made when the content has none.

    Returns:
        The text with a title that is not empty.

    Raises:
        SourceError: The content is binary, damaged or encrypted; the message is one clause for people.
    """
    suffix = suffix.lower()
    text = converters.convert(data, suffix) if suffix in converters.SUFFIXES else _read_text(data, suffix)
    return text if text.title else markup.titled(text, markup.readable(name))


def is_binary(head: bytes) -> bool:
    """Return whether content that begins with ``head`` is something other than text."""
    return b"\0" in head[:SNIFFED] and not head.startswith(tuple(mark for mark, _ in _MARKS))


def decode(data: bytes, *, declared: str = "") -> str:
    r"""Return text with ``\n`` line ends, whatever its encoding; see ``encoding``."""
    text = data.decode(encoding(data, declared=declared), "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def encoding(data: bytes, *, declared: str = "", whole: bool = True) -> str:
    """Return the encoding of some text: that of its byte order mark, UTF-8, or a likely other.

    Args:
        data: The text, or its beginning.
        declared: The encoding that the text itself claims, believed when it is not UTF-8.
        whole: Whether ``data`` is the whole text; the beginning of one may be cut inside a character.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, final=whole)
    except UnicodeDecodeError:
        return next(filter(_is_usable, (declared, "utf-8" if _is_mostly_utf8(data) else "", _guess(data))), "cp1252")
    return "utf-8"


def _read_text(data: bytes, suffix: str) -> Text:
    if is_binary(data):
        raise SourceError("the file holds binary data, not text")
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
            return Text(text, markup.clean(match[1]))
    return Text(text, markup.first_line(text) if suffix in _PLAIN or not suffix else "")


def _read_html(data: bytes) -> Text:
    match = _DECLARED.search(data[:2048])
    read = markup.front_matter(decode(data, declared=match[1].decode() if match else ""))
    page = converters.html(read.text)
    return Text(page.text, read.title or page.title, read.metadata)


def _is_usable(name: str) -> bool:
    try:
        return bool(name) and isinstance(b"a".decode(name, "replace"), str)
    except (LookupError, UnicodeError):
        return False


def _is_mostly_utf8(data: bytes) -> bool:
    """Return whether at most one in six of the characters beyond ASCII is no UTF-8."""
    text = data.decode("utf-8", "replace")
    beyond = len(text) - len(text.encode("ascii", "ignore"))
    return 6 * text.count("\ufffd") <= beyond


def _guess(data: bytes) -> str:
    """Return the likely encoding, from the first 64 kB; Western European where that is as likely as others."""
    from charset_normalizer import from_bytes

    matches = from_bytes(data[: 1 << 16])
    best = matches.best()
    if best is None or any("cp1252" in one.could_be_from_charset and one.chaos <= best.chaos for one in matches):
        return ""
    return best.encoding
