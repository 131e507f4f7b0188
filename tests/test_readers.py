"""Presentations, sheets, PDFs, books and notebooks are read whole, and what is not read is said."""

from __future__ import annotations

import copy
import io
import json
import re
import time
import zipfile
from typing import Any

import openpyxl
import pptx
import pytest
from lxml import etree
from office_files import archive_of, pdf
from openpyxl.comments import Comment
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.opc.constants import RELATIONSHIP_TYPE as RT

from docsim.errors import SourceError
from docsim.ingest.formats import read
from docsim.ingest.readers import archives
from docsim.ingest.readers.archives import missing
from docsim.ingest.readers.office import paragraphs

BASE = "http://schemas.openxmlformats.org"


def repeated(file: bytes, part: str, element: bytes, count: int) -> bytes:
    """Return an archive with an element of one of its parts written several times more."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(file)) as before, zipfile.ZipFile(packed, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            if name == part:
                found = re.search(rb"<%b [^>]*/>" % element, data)
                assert found
                data = data.replace(found[0], found[0] * (1 + count))
            after.writestr(name, data)
    return packed.getvalue()


def test_what_a_text_lacks_is_found_in_linear_time_and_in_any_order() -> None:
    kept, lost = [f"Cell {number}." for number in range(100_000)], [f"Lost {number}." for number in range(100)]
    started = time.process_time()
    assert missing([*kept, *lost, "Cell 7."], " | ".join(kept)) == lost
    assert time.process_time() - started < 5
    assert missing(["two", "one", "gone", "three", "one two"], "**One** two, *three*") == ["gone"]


def test_a_text_that_lacks_very_many_paragraphs_is_not_searched_for_each() -> None:
    kept, lost = [f"Cell {number}." for number in range(100_000)], [f"Lost {number}." for number in range(100_000)]
    started = time.process_time()
    assert missing([*lost, *kept], " | ".join(kept)) == lost
    assert time.process_time() - started < 20


def test_a_paragraph_of_very_many_runs_takes_linear_time() -> None:
    tree = etree.fromstring(f"<p>{'<r><t>lentils and beans </t></r>' * 200_000}</p>")
    started = time.process_time()
    assert list(paragraphs(tree)) == [" ".join(["lentils and beans"] * 200_000)]
    assert time.process_time() - started < 10


# PowerPoint


def presentation(*, notes: str = "", smart: str = "") -> bytes:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = "Escalation"
    if notes:
        slide.notes_slide.notes_text_frame.text = notes
    stream = io.BytesIO()
    deck.save(stream)
    if not smart:
        return stream.getvalue()
    packed = io.BytesIO()
    with zipfile.ZipFile(stream) as before, zipfile.ZipFile(packed, "w") as after:
        for name in before.namelist():
            part = before.read(name)
            if name == "ppt/slides/_rels/slide1.xml.rels":
                relation = (
                    f'<Relationship Id="rId99" Type="{BASE}/officeDocument/2006/relationships/diagramData" '
                    'Target="../diagrams/data1.xml"/></Relationships>'
                )
                part = part.replace(b"</Relationships>", relation.encode())
            if name == "[Content_Types].xml":
                kind = "application/vnd.openxmlformats-officedocument.drawingml.diagramData+xml"
                override = f'<Override PartName="/ppt/diagrams/data1.xml" ContentType="{kind}"/></Types>'
                part = part.replace(b"</Types>", override.encode())
            after.writestr(name, part)
        points = "".join(f"<a:p><a:r><a:t>{word}</a:t></a:r></a:p>" for word in smart.split("|"))
        drawing = f'xmlns:a="{BASE}/drawingml/2006/main"'
        after.writestr("ppt/diagrams/data1.xml", f"<dgm {drawing}>{points}</dgm>")
    return packed.getvalue()


def test_smart_art_is_read_with_its_slide() -> None:
    found = read(presentation(smart="Ring the bell|Wait outside"), ".pptx", "x.pptx")
    assert found.text == "# Escalation\n\nRing the bell\n\nWait outside"
    assert found.title == "Escalation"


def test_notes_are_read_once() -> None:
    assert read(presentation(notes="Say this slowly"), ".pptx", "x.pptx").text.count("Say this slowly") == 1


def test_a_slide_that_is_named_many_times_is_read_once() -> None:
    whole = presentation(notes="Say this slowly")
    again = repeated(whole, "ppt/presentation.xml", b"p:sldId", 500)
    assert read(again, ".pptx", "x.pptx") == read(whole, ".pptx", "x.pptx")


@pytest.mark.parametrize(("slides", "frames"), [(1, 100), (100, 1)])
def test_a_chart_or_a_note_that_is_named_many_times_is_read_once(slides: int, frames: int) -> None:
    drawn: Any = CategoryChartData()  # type: ignore[no-untyped-call]
    drawn.categories = [f"Kind {number}" for number in range(20)]
    drawn.add_series("Series", range(20))
    deck = pptx.Presentation()
    first, *others = [deck.slides.add_slide(deck.slide_layouts[6]) for _ in range(slides)]
    first.notes_slide.notes_text_frame.text = "Say this slowly"
    frame = first.shapes.add_chart(XL_CHART_TYPE.PIE, 0, 0, 9, 9, drawn)
    for slide in (first, *others):
        id = slide.part.relate_to(frame.chart.part, RT.CHART)
        for _ in range(frames):
            again = copy.deepcopy(frame._element)
            again.chart.set(archives.RELATION, id)
            slide.shapes._spTree.append(again)
        if slide is not first:
            slide.part.relate_to(first.notes_slide.part, RT.NOTES_SLIDE)
    stream = io.BytesIO()
    deck.save(stream)
    found = read(stream.getvalue(), ".pptx", "x.pptx").text
    assert [found.count(one) for one in ("Kind 7 ", "Say this slowly")] == [1, 1]


def test_a_chart_is_read_with_the_slide_that_shows_it_though_a_slide_that_is_gone_has_it_too() -> None:
    drawn: Any = CategoryChartData()  # type: ignore[no-untyped-call]
    drawn.categories = ["Northwest", "Southeast"]
    drawn.add_series("Turnover", [1, 2])
    deck = pptx.Presentation()
    gone, kept = [deck.slides.add_slide(deck.slide_layouts[6]) for _ in range(2)]
    frame = gone.shapes.add_chart(XL_CHART_TYPE.PIE, 0, 0, 9, 9, drawn)
    again = copy.deepcopy(frame._element)
    again.chart.set(archives.RELATION, kept.part.relate_to(frame.chart.part, RT.CHART))
    kept.shapes._spTree.append(again)
    shown = deck.slides._sldIdLst
    shown.remove(shown[0])
    stream = io.BytesIO()
    deck.save(stream)
    assert "Northwest" in read(stream.getvalue(), ".pptx", "x.pptx").text


# Excel


def workbook(fill: object) -> bytes:
    book = openpyxl.Workbook()
    fill(book)  # type: ignore[operator]
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def sheet_text(fill: object) -> str:
    return read(workbook(fill), ".xlsx", "x.xlsx").text


def test_formatted_cells_without_a_value_are_no_text() -> None:
    def fill(book: openpyxl.Workbook) -> None:
        sheet = book.active
        sheet["B2"], sheet["D2"], sheet["B9"] = "router", "floor 3", "switch"
        for row in range(1, 300):
            for column in range(1, 40):
                sheet.cell(row, column).number_format = "0.00"

    assert sheet_text(fill) == "## Sheet\n\n| router | floor 3 |\n| --- | --- |\n| switch |"


def test_a_cell_far_away_takes_no_room() -> None:
    def fill(book: openpyxl.Workbook) -> None:
        book.active["A1"], book.active["XFD9000"] = "here", "there"

    assert sheet_text(fill) == "## Sheet\n\n| here |\n| --- | --- |\n|  | there |"


def test_a_sheet_that_is_named_many_times_is_read_once() -> None:
    whole = workbook(lambda book: book.active.append(["router", "floor 3"]))
    again = repeated(whole, "xl/workbook.xml", b"sheet", 500)
    assert read(again, ".xlsx", "x.xlsx") == read(whole, ".xlsx", "x.xlsx")


def test_hidden_sheets_and_comments_are_read() -> None:
    def fill(book: openpyxl.Workbook) -> None:
        book.active["A1"] = "seen"
        book.active["A1"].comment = Comment("Ask Kim first", "Kim")
        book.create_sheet("Prices").append(["secret", 3])
        book["Prices"].sheet_state = "hidden"

    found = sheet_text(fill)
    assert "## Prices (hidden)\n\n| secret | 3 |" in found
    assert found.count("Ask Kim first") == 1


def test_a_formula_without_a_value_is_read_as_a_formula_and_said_to_be_lost() -> None:
    def fill(book: openpyxl.Workbook) -> None:
        book.active.append(["total", "=SUM(C1:C9)"])

    found = read(workbook(fill), ".xlsx", "x.xlsx")
    assert "| total | =SUM(C1:C9) |" in found.text
    assert found.lost == ("the values of 1 formula, which were never computed",)


def test_a_strict_workbook_is_read() -> None:
    stream = io.BytesIO()
    usual = workbook(lambda book: book.active.append(["tight", 1]))
    with zipfile.ZipFile(io.BytesIO(usual)) as before, zipfile.ZipFile(stream, "w") as strict:
        for name in before.namelist():
            part = before.read(name).decode()
            for kind in ("spreadsheetml", "officeDocument", "drawingml"):
                part = part.replace(f"{BASE}/{kind}/2006/", f"http://purl.oclc.org/ooxml/{kind}/")
            strict.writestr(name, part)
    assert "| tight | 1 |" in read(stream.getvalue(), ".xlsx", "x.xlsx").text


# PDF


def form(*annotations: str) -> bytes:
    """A page with the text "Leave" and some annotations, of which widgets are the fields of a form."""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [{all}] /DR << >> >> >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Annots [{all}]"
        " /Resources << /Font << /F1 5 0 R >> >> >>",
        "<< /Length 37 >>\nstream\nBT /F1 12 Tf 72 720 Td (Leave) Tj ET \nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        *(f"<< /Type /Annot /Rect [72 600 300 620] {one} >>" for one in annotations),
    ]
    every = " ".join(f"{number} 0 R" for number in range(6, 6 + len(annotations)))
    content, offsets = "%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(content))
        content += f"{number} 0 obj\n{body.replace('{all}', every)}\nendobj\n"
    start = len(content)
    content += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    content += "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    content += f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    return content.encode("latin-1")


def test_the_pages_of_a_long_pdf_come_in_their_order() -> None:
    pypdfium2 = pytest.importorskip("pypdfium2")
    book = pypdfium2.PdfDocument.new()
    for number in range(620):
        book.import_pages(pypdfium2.PdfDocument(pdf(f"Page {number}")))
    written = io.BytesIO()
    book.save(written)
    text = read(written.getvalue(), ".pdf", "x.pdf").text
    assert text == "\n\n".join(f"Page {number}" for number in range(620))


def test_what_is_filled_into_a_form_is_read() -> None:
    filled = form(
        "/Subtype /Widget /FT /Tx /T (who) /TU (Your name) /V (Robin Sample)",
        "/Subtype /Widget /FT /Ch /T (kind) /V (Unpaid) /Opt [(Paid) (Unpaid)]",
        "/Subtype /Widget /FT /Tx /T (empty)",
    )
    assert read(filled, ".pdf", "x.pdf").text == "Leave\nYour name: Robin Sample\nkind: Unpaid"


@pytest.mark.parametrize("kind", ["Text", "FreeText", "Highlight", "Square"])
def test_notes_on_a_page_are_read(kind: str) -> None:
    noted = form(f"/Subtype /{kind} /Contents (Check with payroll)", "/Subtype /Link /Contents (no text)")
    assert read(noted, ".pdf", "x.pdf").text == "Leave\nCheck with payroll"


@pytest.mark.parametrize("title", ["C:\\\\docs\\\\a", "scan0001", "plan.indd", "12345", "Presentation1", "()"])
def test_a_title_that_is_none_is_not_taken(title: str) -> None:
    assert read(pdf("Air moves.", title=title), ".pdf", "x.pdf").title == "Air moves."


# EPUB

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile full-path="o/b.opf"/>'
    "</rootfiles></container>"
)
PACKAGE = (
    '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
    "<dc:title>Wind &amp; sea</dc:title><dc:creator>Ann</dc:creator><dc:creator>Bo</dc:creator></metadata><manifest>"
    '<item id="n" href="nav.xhtml" properties="nav"/><item id="two" href="b%20b.xhtml"/><item id="one" href="a.xhtml"/>'
    '</manifest><spine><itemref idref="n"/><itemref idref="one"/><itemref idref="two"/></spine></package>'
)


def book(encryption: str = "", package: str = PACKAGE) -> bytes:
    page = '<html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>{}</body></html>'
    parts = {
        "META-INF/container.xml": CONTAINER,
        "o/b.opf": package,
        "o/nav.xhtml": page.format("<ol><li>Contents</li></ol>"),
        "o/a.xhtml": page.format("<h1>One</h1><p>Air</p>"),
        "o/b b.xhtml": page.format("<p>Sea<a id='x'/></p><p>Salt</p>"),
    }
    return archive_of(parts | ({"META-INF/encryption.xml": encryption} if encryption else {}))


def test_a_chapter_that_is_named_many_times_is_read_once_at_its_first_place() -> None:
    others = "".join(f'<item id="i{number}" href="x/../{"./" * number}a.xhtml"/>' for number in range(50))
    again = "".join(f'<itemref idref="i{number % 50}"/>' for number in range(5000))
    package = PACKAGE.replace("</manifest>", f"{others}</manifest>").replace("</spine>", f"{again}</spine>")
    assert read(book(package=package), ".epub", "x.epub").text == read(book(), ".epub", "x.epub").text


def encrypted(algorithm: str) -> str:
    return (
        '<encryption xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData><enc:EncryptionMethod '
        f'Algorithm="{algorithm}"/></enc:EncryptedData></encryption>'
    )


def test_a_book_is_read_in_its_order_with_its_authors() -> None:
    found = read(book(), ".epub", "x.epub")
    assert (found.text, found.title, found.metadata) == (
        "# One\n\nAir\n\nSea\n\nSalt",
        "Wind & sea",
        {"author": "Ann, Bo"},
    )


def test_an_encrypted_book_is_refused_but_not_one_whose_fonts_are() -> None:
    with pytest.raises(SourceError, match="protected"):
        read(book(encrypted("http://www.w3.org/2001/04/xmlenc#aes128-cbc")), ".epub", "x.epub")
    assert read(book(encrypted("http://www.idpf.org/2008/embedding")), ".epub", "x.epub").text.startswith("# One")


# Notebooks


def test_notebooks_of_format_three_and_two_are_read() -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": ["Plan"]},
        {"cell_type": "code", "language": "python", "input": "x = 1", "outputs": []},
        {"cell_type": "markdown", "source": "Done."},
    ]
    notebook = {"nbformat": 3, "metadata": {"name": ""}, "worksheets": [{"cells": cells}]}
    assert read(json.dumps(notebook).encode(), ".ipynb", "x.ipynb").text == "## Plan\n\n```python\nx = 1\n```\n\nDone."


def test_pictures_in_a_notebook_are_no_text() -> None:
    source = f"See ![plot](data:image/png;base64,{'QUJD' * 500}) here"
    notebook = {"nbformat": 4, "metadata": {}, "cells": [{"cell_type": "markdown", "source": source}]}
    assert len(read(json.dumps(notebook).encode(), ".ipynb", "x.ipynb").text) < 80


# Mails

MAIL = (
    "From: Ann <ann@example.org>\r\nTo: bo@example.org\r\nSubject: =?utf-8?q?Schl=C3=BCssel?= lost\r\n"
    "Date: Fri, 01 Mar 2024 12:00:00 +0100\r\nMIME-Version: 1.0\r\n"
)


def test_a_mail_is_read_with_its_subject_sender_and_date() -> None:
    body = "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n"
    body += "\r\nGr=FC=DFe\r\n"
    found = read((MAIL + body).encode(), ".eml", "x.eml")
    assert (found.text, found.title) == ("Grüße", "Schlüssel lost")
    assert found.metadata["date"] == "2024-03-01T12:00:00+01:00"
    assert found.metadata["from"] == "Ann <ann@example.org>"


def test_a_mail_in_html_is_read_and_its_attachments_are_said_to_be_lost() -> None:
    parts = (
        'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n'
        "<p>Come <b>now</b>\r\n--b\r\nContent-Type: application/pdf\r\n"
        'Content-Disposition: attachment; filename="a.pdf"\r\n\r\n%PDF\r\n--b--\r\n'
    )
    found = read((MAIL + parts).encode(), ".eml", "x.eml")
    assert (found.text, found.lost) == ("Come **now**", ("1 attachment",))
