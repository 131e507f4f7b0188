"""PDF: the text of each page by PDFium, then what was filled into its form and what was noted on it."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

from docsim.errors import SourceError
from docsim.ingest.content import FileContent, first_line, one_line, tidy
from docsim.ingest.readers.archives import missing
from docsim.ingest.readers.office import UNTITLED, counted
from docsim.ingest.readers.right_to_left import reordered

__all__ = ["read"]

_PDFIUM = threading.Lock()  # PDFium is not thread-safe
_WIDGET, _LINK, _POPUP = 20, 2, 16  # kinds of annotations
_CHOSEN = (2, 3)  # check boxes and radio buttons among form fields
_LONGEST = 1 << 20  # bytes of one value
_TOGETHER = 250  # pages that are read of a PDF before it is closed, and opened again,
_OPENED = 8  # at most so often, as that may take as long as reading all of it


def read(data: bytes) -> FileContent:
    """Read a PDF as text. The title is that of its properties, if it says anything, or else its first line."""
    with _PDFIUM:
        with _opened(data) as document:
            count, title = len(document), _title(document.get_metadata_dict().get("Title", ""))
            is_xfa = document.get_formtype() == _xfa()
            step = max(_TOGETHER, count // _OPENED)
            pages = [_page(document, number) for number in range(min(step, count))]
        for start in range(step, count, step):
            with _opened(data) as document:
                pages += [_page(document, number) for number in range(start, min(start + step, count))]
    text = "\n\n".join(filter(None, pages))
    empty = sum(not page for page in pages)
    lost = [f"{counted(empty, 'page')} without text, perhaps scanned"] if empty and text else []
    lost += ["a form in XFA"] if is_xfa else []
    return FileContent(text, title or first_line(text), lost=tuple(lost))


@contextlib.contextmanager
def _opened(data: bytes) -> Iterator[Any]:
    """Open a PDF with its forms. It is opened some times in a row, as PDFium keeps all that it has read of an open one.

    Raises:
        SourceError: It is protected by a password.
    """
    import pypdfium2  # type: ignore[import-untyped]

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise SourceError("the PDF is protected by a password") from error
        raise
    try:
        logging.getLogger("pypdfium2").setLevel(logging.ERROR)  # it warns of XFA, of which we tell
        document.init_forms()
        yield document
    finally:
        document.close()


def _xfa() -> int:
    from pypdfium2 import raw

    return int(raw.FORMTYPE_XFA_FULL)


def _page(document: Any, number: int) -> str:
    page = document[number]
    try:
        text: str = page.get_textpage().get_text_bounded()
        beside = list(_beside(document, page))
    finally:
        page.close()
    text = text.replace("\r\n", "\n")
    # PDFium marks a hyphen at the end of a line with one of these characters.
    text = reordered(tidy(text.replace("\x02", "").replace("\ufffe", "")))
    return tidy("\n".join([text, *missing(beside, text)]))


def _beside(document: Any, page: Any) -> Iterator[str]:
    """Yield what a form holds and what was noted on a page, a line each."""
    from pypdfium2 import raw

    for number in range(raw.FPDFPage_GetAnnotCount(page.raw)):
        annotation = raw.FPDFPage_GetAnnot(page.raw, number)
        if not annotation:
            continue
        try:
            kind = raw.FPDFAnnot_GetSubtype(annotation)
            if kind == _WIDGET and document.formenv:
                yield _filled(document.formenv.raw, annotation)
            elif kind not in (_WIDGET, _LINK, _POPUP):
                yield _string(lambda *room, of=annotation: raw.FPDFAnnot_GetStringValue(of, b"Contents", *room))
        finally:
            raw.FPDFPage_CloseAnnot(annotation)


def _filled(form: Any, annotation: Any) -> str:
    """Return the name and the value of a field of a form, or nothing if it is empty."""
    from pypdfium2 import raw

    def told(ask: Callable[..., int]) -> str:
        return _string(lambda *room: ask(form, annotation, *room))

    if raw.FPDFAnnot_GetFormFieldType(form, annotation) in _CHOSEN:
        value = told(raw.FPDFAnnot_GetFormFieldExportValue) if raw.FPDFAnnot_IsChecked(form, annotation) else ""
        value = "yes" if value in ("On", "Yes", "1") else value
    else:
        value = told(raw.FPDFAnnot_GetFormFieldValue)
    name = told(raw.FPDFAnnot_GetFormFieldAlternateName) or told(raw.FPDFAnnot_GetFormFieldName)
    return f"{name}: {value}" if value.strip() and value != "Off" else ""


def _string(ask: Callable[..., int]) -> str:
    """Return a string of PDFium's: UTF-16 into a buffer, whose size in bytes is asked for first."""
    from pypdfium2 import raw

    size = min(ask(None, 0), _LONGEST)
    if size <= 2:
        return ""
    room = ctypes.create_string_buffer(size)
    ask(ctypes.cast(room, ctypes.POINTER(raw.FPDF_WCHAR)), size)
    return room.raw[: size - 2].decode("utf-16-le", "replace")


def _title(named: str) -> str:
    """Return a title of the properties, or nothing if it is none: a file's name, a path, a program's default."""
    lines = named.removeprefix("Microsoft Word - ").removeprefix("Microsoft PowerPoint - ").strip().splitlines()
    title = one_line(lines[0].replace("_", " ")) if lines else ""
    return "" if UNTITLED.fullmatch(title) or "\\" in title or not any(map(str.isalpha, title)) else title
