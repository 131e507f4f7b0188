"""Converters: HTML, PDF, Office, EPUB and notebook files as Markdown.

This is the one place where other people's parsers meet other people's files. Whatever they raise becomes a
``SourceError`` with a reason in plain words, and an archive is measured before anything unpacks it. The libraries are
imported when the first such file comes.
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

from docsim import offline
from docsim.errors import SourceError
from docsim.ingest.markup import Text, clean, first_line, markdown, tidy, titled

__all__ = ["SUFFIXES", "convert", "html"]

UNPACKED_LIMIT = 500_000_000
"""Bytes that the parts of an Office or EPUB file may have together."""

RATIO_LIMIT = 200
"""Times that an archive of more than ``RATIO_EXEMPT`` bytes may be larger unpacked than packed."""

RATIO_EXEMPT = 50_000_000

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


def convert(data: bytes, suffix: str) -> Text:
    """Convert a file of one of ``SUFFIXES`` to Markdown; the title is empty when the file names none.

    Raises:
        SourceError: It is damaged, encrypted, too large when unpacked, or holds no text.
    """
    text = _guarded(_CONVERTERS[suffix], data, kind=suffix[1:])
    if not text.text.strip():
        raise SourceError("the file holds no text (scanned images?)")
    return text


def html(text: str) -> Text:
    """Convert HTML to Markdown without navigation and scripts; where the page marks its main part, that alone.

    Raises:
        SourceError: The converter failed.
    """
    return _guarded(_html, text, kind="HTML")


def _guarded(converter: Callable[[_Content], Text], content: _Content, *, kind: str) -> Text:
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
            f"the file is damaged, or no {kind} file in spite of its name ({type(error).__name__})"
        ) from error


def _html(text: str) -> Text:
    from bs4 import BeautifulSoup
    from markitdown.converters import HtmlConverter

    page = BeautifulSoup(text, "html.parser")
    for element in page.select(_CHROME):
        element.decompose()
    for link in page("a"):
        link.unwrap()
    title = clean(page.title.get_text()) if page.title else ""
    first = page.find("h1")
    heading = clean(first.get_text()) if first else ""
    body = page.select_one("main, [role=main]") or page.body or page
    read = Text(_unlinked(HtmlConverter().convert_string(str(body)).markdown))
    return titled(read, heading if heading and title.startswith(heading) else title or markdown(read.text).title)


def _pdf(data: bytes) -> Text:
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
    return Text(text, first_line(text) if not title or _UNTITLED.match(title) else title)


def _page(document: Any, number: int) -> str:
    page = document[number]
    try:
        text: str = page.get_textpage().get_text_bounded()
    finally:
        page.close()
    joined = (
        text.replace("\r\n", "\n").replace("\x02", "").replace("\ufffe", "")
    )  # PDFium's marks for a hyphen at a line end
    return tidy(joined)


def _docx(data: bytes) -> Text:
    from markitdown import StreamInfo
    from markitdown.converters import DocxConverter

    styles = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => h2:fresh"
    converted = DocxConverter().convert(_archive(data), StreamInfo(extension=".docx"), style_map=styles)
    read = markdown(_unlinked(converted.markdown))
    return read if read.title else titled(read, first_line(read.text))


def _pptx(data: bytes) -> Text:
    from markitdown import StreamInfo
    from markitdown.converters import PptxConverter

    converted = PptxConverter().convert(_archive(data), StreamInfo(extension=".pptx"))
    return markdown(_unlinked(_SLIDE.sub("", converted.markdown)))


def _xlsx(data: bytes) -> Text:
    import openpyxl  # type: ignore[import-untyped]

    workbook = openpyxl.load_workbook(_archive(data), read_only=True, data_only=True)
    sheets = []
    for sheet in workbook.worksheets:
        sheet.reset_dimensions()  # what the file says about its size is often wrong
        rows = (["" if cell is None else " ".join(str(cell).split()) for cell in row] for row in sheet.values)
        lines = [f"| {' | '.join(row)} |" for row in rows if any(row)]
        if lines:
            lines.insert(1, "|" + " --- |" * (lines[0].count(" | ") + 1))
            sheets.append(f"## {sheet.title}\n\n" + "\n".join(lines))
    return Text("\n\n".join(sheets))


def _epub(data: bytes) -> Text:
    from markitdown import StreamInfo
    from markitdown.converters import EpubConverter

    converted = EpubConverter().convert(_archive(data), StreamInfo(extension=".epub"))
    return Text(_unlinked(converted.markdown), clean(converted.title or ""))


def _ipynb(data: bytes) -> Text:
    from markitdown import StreamInfo
    from markitdown.converters import IpynbConverter

    converted = IpynbConverter().convert(io.BytesIO(data), StreamInfo(charset="utf-8"))
    read = markdown(converted.markdown)
    return titled(read, clean(converted.title)) if isinstance(converted.title, str) else read


def _archive(data: bytes) -> io.BytesIO:
    """Return a zip archive as a stream, once unpacking it is known to be safe.

    The directory may lie, so every part is unpacked, piece by piece, as far as the directory says: what is longer fails
    its checksum.
    """
    if data.startswith(_OLD_OFFICE):
        raise SourceError("the file is encrypted, or of the Office format before 2007; save it anew without a password")
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
    """Return converted Markdown with the words of its links and images, not their addresses."""
    return tidy(_LINK.sub(lambda match: match[1] or match[2] or "", converted))


_CONVERTERS: Mapping[str, Callable[[bytes], Text]] = {
    ".docx": _docx,
    ".epub": _epub,
    ".ipynb": _ipynb,
    ".pdf": _pdf,
    ".pptx": _pptx,
    ".xlsx": _xlsx,
}

SUFFIXES = frozenset(_CONVERTERS)
"""The suffixes that ``convert`` reads."""
