"""Converters: from HTML, PDF, Office, EPUB and notebook files to Markdown; a new format gets its function here.

Only this module hands users' files to parsers that others wrote. Any error of theirs becomes a ``SourceError`` with a
reason in plain words, and the size of an archive is checked before it is unpacked. The libraries are imported when they
are first needed.
"""

from __future__ import annotations

import io
import logging
import re
import threading
import warnings
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from docsim import extras, offline
from docsim.errors import MissingExtra, SourceError
from docsim.ingest.markup import FileContent, clean, first_line, markdown, tidy, titled

__all__ = ["SUFFIXES", "convert", "html"]

UNPACKED_LIMIT = 500_000_000
"""The largest size of an Office or EPUB file after unpacking, in bytes."""

RATIO_LIMIT = 200
"""How many times larger than the file its unpacked content may be, if that is more than ``RATIO_EXEMPT`` bytes."""

RATIO_EXEMPT = 50_000_000
"""The unpacked size, in bytes, up to which the ratio does not matter."""

logger = logging.getLogger(__name__)
_Content = TypeVar("_Content", bytes, str)

_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
_CHROME = "script, style, noscript, template, svg, nav, [role=navigation], a.headerlink"
_LINK = re.compile(
    r"!\[([^\[\]\n]*)\]\([^)\n]*\)|\[([^\[\]\n]*)\]\((?:https?:|mailto:|#|[^()\s#]+\.x?html?\b)[^()\n]*\)"
)
_SLIDE = re.compile(r"<!-- Slide number: \d+ -->")
_UNTITLED = re.compile(r"untitled|document\d*$|slide \d+$|.*\.(?:docx?|indd|pptx?|qxd|tex|xlsx?)$", re.IGNORECASE)
_PDFIUM = threading.Lock()  # PDFium is not thread-safe


def convert(data: bytes, suffix: str) -> FileContent:
    """Convert a file to Markdown.

    Args:
        data: The file's content.
        suffix: One of ``SUFFIXES``.

    Returns:
        The text, and the title that the file gives itself; empty when there is none.

    Raises:
        SourceError: The file is damaged, encrypted, too large when unpacked, or contains no text; or the extra
            ``files``, which reads such files, is not installed.
    """
    try:
        extras.require("files", f"reading {suffix} files")
    except MissingExtra as error:  # a reason why this document cannot be read; others can
        raise SourceError(str(error)) from error
    text = _guarded(_CONVERTERS[suffix], data, kind=suffix[1:])
    if not text.text.strip():
        raise SourceError("the file contains no text; it may be made of scanned images")
    return text


def html(text: str) -> FileContent:
    """Convert HTML to Markdown, without navigation and scripts.

    If the page marks its main part (``<main>`` or ``role="main"``), only that is converted.

    Raises:
        SourceError: The page cannot be converted.
    """
    return _guarded(_html, text, kind="HTML")


def _guarded(converter: Callable[[_Content], FileContent], content: _Content, *, kind: str) -> FileContent:
    """Call a converter, and turn whatever it raises into a ``SourceError``."""
    offline.before_onnxruntime()  # markitdown's file type detection imports it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return converter(content)
    except SourceError:
        raise
    except Exception as error:
        logger.debug("conversion failed", exc_info=True)
        raise SourceError(
            f"the file is damaged, or is not the {kind} file that its name says ({type(error).__name__})"
        ) from error


def _html(text: str) -> FileContent:
    from bs4 import BeautifulSoup

    from docsim.ingest.html_markdown import to_markdown

    page = BeautifulSoup(text, "html.parser")
    for element in page.select(_CHROME):
        element.decompose()
    for link in page("a"):
        link.unwrap()
    title = clean(page.title.get_text()) if page.title else ""
    first = page.find("h1")
    heading = clean(first.get_text()) if first else ""
    body = page.select_one("main, [role=main]") or page.body or page
    read = FileContent(_unlinked(to_markdown(str(body))))
    return titled(read, heading if heading and title.startswith(heading) else title or markdown(read.text).title)


def _pdf(data: bytes) -> FileContent:
    import pypdfium2  # type: ignore[import-untyped]

    with _PDFIUM:
        try:
            document = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            if "password" in str(error).lower():
                raise SourceError("the PDF is protected by a password") from error
            raise
        try:
            text = "\n\n".join(_page(document, number) for number in range(len(document)))
            named = document.get_metadata_dict().get("Title", "")
        finally:
            document.close()
    lines = named.removeprefix("Microsoft Word - ").strip().splitlines()
    title = clean(lines[0].replace("_", " ")) if lines else ""
    return FileContent(text, first_line(text) if not title or _UNTITLED.match(title) else title)


def _page(document: Any, number: int) -> str:
    page = document[number]
    try:
        text: str = page.get_textpage().get_text_bounded()
    finally:
        page.close()
    text = text.replace("\r\n", "\n")
    # PDFium marks a hyphen at the end of a line with one of these characters.
    return tidy(text.replace("\x02", "").replace("\ufffe", ""))


def _docx(data: bytes) -> FileContent:
    from markitdown import StreamInfo
    from markitdown.converters import DocxConverter

    styles = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => h2:fresh"
    converted = DocxConverter().convert(_archive(data), StreamInfo(extension=".docx"), style_map=styles)
    read = markdown(_unlinked(converted.markdown))
    return read if read.title else titled(read, first_line(read.text))


def _pptx(data: bytes) -> FileContent:
    from markitdown import StreamInfo
    from markitdown.converters import PptxConverter

    converted = PptxConverter().convert(_archive(data), StreamInfo(extension=".pptx"))
    return markdown(_unlinked(_SLIDE.sub("", converted.markdown)))


def _xlsx(data: bytes) -> FileContent:
    import openpyxl  # type: ignore[import-untyped]

    workbook = openpyxl.load_workbook(_archive(data), read_only=True, data_only=True)
    sheets = []
    for sheet in workbook.worksheets:
        sheet.reset_dimensions()  # the size that the file states is often wrong
        rows = (["" if cell is None else " ".join(str(cell).split()) for cell in row] for row in sheet.values)
        lines = [f"| {' | '.join(row)} |" for row in rows if any(row)]
        if lines:
            lines.insert(1, "|" + " --- |" * (lines[0].count(" | ") + 1))
            sheets.append(f"## {sheet.title}\n\n" + "\n".join(lines))
    return FileContent("\n\n".join(sheets))


def _epub(data: bytes) -> FileContent:
    from markitdown import StreamInfo
    from markitdown.converters import EpubConverter

    converted = EpubConverter().convert(_archive(data), StreamInfo(extension=".epub"))
    return FileContent(_unlinked(converted.markdown), clean(converted.title or ""))


def _ipynb(data: bytes) -> FileContent:
    from markitdown import StreamInfo
    from markitdown.converters import IpynbConverter

    converted = IpynbConverter().convert(io.BytesIO(data), StreamInfo(charset="utf-8"))
    read = markdown(converted.markdown)
    return titled(read, clean(converted.title)) if isinstance(converted.title, str) else read


def _archive(data: bytes) -> io.BytesIO:
    """Return a zip archive as a stream, after checking that it is safe to unpack.

    The sizes in the archive's directory may be wrong, so every part is unpacked once, piece by piece and only up to the
    stated size. A part that is longer then fails its checksum.
    """
    if data.startswith(_OLD_OFFICE):
        raise SourceError(
            "the file is encrypted or in an Office format from before 2007; save it again without a password"
        )
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = archive.infolist()
        size = sum(part.file_size for part in parts)
        if size > UNPACKED_LIMIT or (size > RATIO_EXEMPT and size > RATIO_LIMIT * len(data)):
            raise SourceError(f"the file would unpack to {size // 1_000_000} MB, more than is safe to read")
        for part in parts:
            with archive.open(part) as stream:
                while stream.read(1_000_000):
                    pass
    return io.BytesIO(data)


def _unlinked(converted: str) -> str:
    """Return Markdown with links and images replaced by their text."""
    return tidy(_LINK.sub(lambda match: match[1] or match[2] or "", converted))


_CONVERTERS: Mapping[str, Callable[[bytes], FileContent]] = {
    ".docx": _docx,
    ".epub": _epub,
    ".ipynb": _ipynb,
    ".pdf": _pdf,
    ".pptx": _pptx,
    ".xlsx": _xlsx,
}

SUFFIXES = frozenset(_CONVERTERS)
"""The suffixes of the files that ``convert`` reads."""
