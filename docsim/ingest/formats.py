r"""Formats: from the bytes of one file to its text, title and metadata.

    .md .markdown .mdx                        Markdown; front matter becomes metadata
    .rst                                      reStructuredText; header fields, such as those of a PEP, become metadata
    .html .htm .xhtml                         converted to Markdown; front matter becomes metadata
    .pdf .docx .pptx .xlsx .epub .ipynb       converted to Markdown
    .eml                                      a mail; sender, receivers and date become metadata
    .1 to .8                                  manual pages, converted to Markdown
    .txt .text .log .adoc .org .tex, others   read as plain text

Line ends become ``\n``. The encoding of text is found by ``docsim.ingest.encodings``, and bytes that are invalid in it
become U+FFFD. Control characters, escape sequences of terminals and base64 are left out.
"""

from __future__ import annotations

from dataclasses import replace

from docsim.errors import SourceError
from docsim.ingest import front_matter, guarded_readers, manpages, markup
from docsim.ingest.content import FileContent, first_line, legible, one_line, readable, titled
from docsim.ingest.encodings import decode, is_binary

__all__ = ["FORMATS_VERSION", "SUFFIXES", "read"]

FORMATS_VERSION = 4
"""Increase this when files are read differently than before, so that the next sync reads them again."""

_MARKDOWN = {".md", ".markdown", ".mdx"}
_HTML = {".html", ".htm", ".xhtml"}
_PLAIN = {".txt", ".text", ".log"}

SUFFIXES = frozenset({".rst", ".eml", *_MARKDOWN, *_HTML, *_PLAIN, *markup.TITLES, *guarded_readers.SUFFIXES})
"""The suffixes of documents. Manual pages have ``manpages.SUFFIXES``, but are recognised by their content."""


def read(data: bytes, suffix: str, name: str, *, hidden: bool = True) -> FileContent:
    """Read the content of one file.

    Args:
        data: The raw content.
        suffix: The file's suffix, which decides the format, with its dot and in any case: ``.md``. Files with an
            unknown suffix are read as plain text.
        name: The file's path or name, from which a title is made when the content has none.
        hidden: Whether hidden sheets and slides are read.

    Returns:
        The text, its title, which is not empty, and its metadata.

    Raises:
        SourceError: The content is binary, damaged or encrypted. The message is one clause for people.
    """
    suffix = suffix.lower()
    if suffix in _HTML:
        page = _page(data)
        del data  # a page may be large, and is there twice now
        content = _read_html(page)
    elif suffix in guarded_readers.SUFFIXES:
        content = guarded_readers.convert(data, suffix, hidden=hidden)
    else:
        content = guarded_readers.mail(data) if suffix == ".eml" else _read_text(data, suffix)
    content = replace(content, text=legible(content.text))
    return content if content.title else titled(content, readable(name))


def _read_text(data: bytes, suffix: str) -> FileContent:
    _check_is_text(data)
    text = decode(data)
    if suffix in _MARKDOWN:
        return markup.markdown(text, jsx=suffix == ".mdx")
    if suffix == ".rst":
        return markup.restructured(text)
    if suffix in manpages.SUFFIXES and manpages.is_manual(text):
        return manpages.read(text)
    for pattern in markup.TITLES.get(suffix, ()):
        if match := pattern.search(text):
            return FileContent(text, one_line(match[1]))
    return FileContent(text, first_line(text) if suffix in _PLAIN or not suffix else "")


def _check_is_text(data: bytes) -> None:
    if is_binary(data):
        raise SourceError("the file contains binary data, not text")


def _page(data: bytes) -> str:
    _check_is_text(data)
    return decode(data, declared=guarded_readers.declared_encoding(data))


def _read_html(text: str) -> FileContent:
    read = front_matter.read(text)
    page = guarded_readers.html(read.text)
    return replace(page, title=read.title or page.title, metadata=read.metadata)
