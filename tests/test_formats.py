"""Files of every format become the text, title and metadata that a reader would name."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time

import openpyxl
import pptx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from office_files import archive_of, docx, paragraph, pdf

from docsim.errors import SourceError
from docsim.ingest import encodings, guarded_readers
from docsim.ingest.content import FileContent
from docsim.ingest.encodings import decode
from docsim.ingest.formats import read

_CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="content.opf"/></rootfiles></container>'
)
_OPF = (
    '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
    '<dc:title>Wind</dc:title></metadata><manifest><item id="a" href="a.xhtml"/></manifest>'
    '<spine><itemref idref="a"/></spine></package>'
)


def _xlsx(sheets: dict[str, list[list[object]]]) -> bytes:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(row)
    stream = io.BytesIO()
    workbook.save(stream)
    return stream.getvalue()


def _pptx(slides: dict[str, str]) -> bytes:
    presentation = pptx.Presentation()
    for title, body in slides.items():
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = body
    stream = io.BytesIO()
    presentation.save(stream)
    return stream.getvalue()


# Markdown


def test_yaml_front_matter_becomes_metadata_and_title() -> None:
    source = b"---\ntitle: 'The *first*'\ndate: 2020-01-02\ntags: [a, 1]\n---\n\n# Other\n"
    assert read(source, ".md", "x.md") == FileContent(
        "\n# Other\n", "The *first*", {"date": "2020-01-02", "tags": ["a", 1]}
    )


def test_toml_front_matter_becomes_metadata_and_title() -> None:
    assert read(b'+++\ntitle = "T"\nweight = 3\n+++\nBody\n', ".md", "x.md") == FileContent(
        "Body\n", "T", {"weight": 3}
    )


@pytest.mark.parametrize(
    "source",
    [
        "---\ntitle: a: b\n---\nbody",
        "---\n- a\n- b\n---\nbody",
        "---\njust a sentence\n---\nbody",
        "---\na: &a [1]\nb: *a\n---\nbody",
        "---\nnever closed\nbody",
        "+++\ntitle = \n+++\nbody",
        "---\n" + "[" * 50_000 + "\n---\nbody",
    ],
)
def test_front_matter_that_is_none_stays_in_the_text(source: str) -> None:
    assert read(source.encode(), ".md", "some-file.md").text == source


def test_front_matter_that_names_no_title_leaves_it_to_the_heading() -> None:
    assert read(b"---\nweight: 1\n---\n# Heading\n", ".md", "x.md").title == "Heading"


def test_front_matter_keeps_what_json_cannot_hold_as_text() -> None:
    metadata = read(b"---\n1: .inf\n2020-01-01: !!set {a}\nb: !!binary YQ==\n---\n", ".md", "x.md").metadata
    assert metadata == {"1": ".inf", "2020-01-01": ["a"], "b": "b'a'"}


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("intro\n\n# Second ##\n", "Second"),
        ("intro\n\n## Summary\n", "Pod security"),
        ("Setext here\n===========\n", "Setext here"),
        ("Lower\n---\n", "Pod security"),
        ("```sh\n# comment\n```\n\n# Real\n", "Real"),
        ("~~~\n# a\n```\n# b\n~~~\n# Real\n", "Real"),
        ("# [A `link`](http://x.org/y) and **bold** {#anchor}\n", "A link and bold"),
        ("# \n# C++ \\* snake_case_name\n", "C++ * snake_case_name"),
        ('<h1 align="center">Centred</h1>\n', "Centred"),
        ("| a | b |\n|---|---|\n- x\n---\n", "Pod security"),
        ("#hashtag\n", "Pod security"),
    ],
)
def test_the_title_of_markdown_is_its_first_heading_or_else_its_name(source: str, title: str) -> None:
    assert read(source.encode(), ".md", "docs/pod-security.md").title == title


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("guide/pod_security--notes.md", "Pod security notes"),
        ("guide/_index.md", "Guide"),
        ("My Project/README.md", "My Project"),
        ("index.md", "Index"),
        ("API v2.md", "API v2"),
    ],
)
def test_a_name_is_made_readable(name: str, title: str) -> None:
    assert read(b"", ".md", name) == FileContent("", title)


# reStructuredText and other text


def test_the_header_of_a_pep_becomes_title_and_metadata() -> None:
    source = b"PEP: 8\nTitle: Style\n Guide\nAuthor: A <a@b.c>,\n        B\nPost-History:\n\nIntro\n=====\n"
    assert read(source, ".rst", "x.rst") == FileContent(
        "\nIntro\n=====\n", "Style Guide", {"PEP": "8", "Author": "A <a@b.c>, B"}
    )


@pytest.mark.parametrize(
    ("source", "title"),
    [
        (".. _label:\n\n=======\n Boxed\n=======\n\nUnder\n-----\n", "Boxed"),
        (":orphan:\n\n:mod:`asyncio` --- I/O\n======================\n", "asyncio --- I/O"),
        ("``code`` first\n~~~~~~~~~~~~~~\n", "code first"),
        ("====  ====\na     b\n====  ====\n", "Some page"),
        ("Title: not a header\n\ntext\n", "Some page"),
    ],
)
def test_the_title_of_restructuredtext_is_its_first_section_or_else_its_name(source: str, title: str) -> None:
    if source.startswith("Title:"):
        title = "not a header"
    assert read(source.encode(), ".rst", "some_page.rst").title == title


@pytest.mark.parametrize(
    ("source", "suffix", "title"),
    [
        ("\n=====\nApache License\n=====\n", "", "Apache License"),
        ("long " * 40, ".txt", "Some file"),
        ("12:00 started", ".log", "12:00 started"),
        ("= Title\n\n== Part\n", ".adoc", "Title"),
        ("text\n#+TITLE: Org\n* Heading\n", ".org", "Org"),
        ("* Heading\n", ".org", "Heading"),
        ("\\section{Intro}\\title{Wind}\n", ".tex", "Wind"),
        ("import os\n", ".py", "Some file"),
    ],
)
def test_the_title_of_other_text_is_where_its_format_has_it(source: str, suffix: str, title: str) -> None:
    assert read(source.encode(), suffix, f"some_file{suffix}") == FileContent(source, title)


def test_a_manual_page_reads_as_it_is_typeset() -> None:
    source = r""".\" Copyright
.TH SIN 3
.SH NAME
sin, sinf \- sine function
.SH "SEE ALSO"
.nf
.BI "double sin(double " x );
  indented
.fi
Link with \fI\-lm\fP\(em\c
.PP
or
.BR cos (3).
"""
    text = """## NAME

sin, sinf - sine function

## SEE ALSO

double sin(double x);
  indented

Link with -lm—

or cos(3)."""
    assert read(source.encode(), ".3", "sin.3") == FileContent(text, "sin, sinf - sine function")


def test_a_manual_page_of_bsd_has_the_title_that_its_name_section_says() -> None:
    source = b".Dd May 1\n.Dt LS 1\n.Sh NAME\n.Nm ls\n.Nd list files\n.Sh SYNOPSIS\n.Fl a\n"
    assert read(source, ".1", "ls.1").title == "ls - list files"


def test_text_that_only_has_the_suffix_of_a_manual_page_stays_as_it_is() -> None:
    assert read(b"Release 1.2\n.text\n", ".2", "notes-1.2").text == "Release 1.2\n.text\n"


# Encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_text_is_read_in_its_encoding(encoding: str) -> None:
    text = "Le garçon a mangé une pêche.\nC’était l’été dernier."
    assert decode(text.replace("\n", "\r\n").encode(encoding)) == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Привет, мир. Это русский текст для проверки.", "cp1251"),
        ("日本語の文章です。テスト用のテキスト。", "shift_jis"),
    ],
)
def test_the_encoding_of_other_scripts_is_guessed(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_a_stray_byte_does_not_change_the_encoding_of_the_rest() -> None:
    assert decode("schön, größer, weiß, für, über, Öl ".encode() * 3 + b"\xff").endswith("Öl \ufffd")


def test_html_is_read_in_the_encoding_that_it_declares() -> None:
    page = '<html><head><meta charset="koi8-r"></head><body><p>Да</p></body></html>'.encode("koi8-r")
    assert read(page, ".html", "x.html").text == "Да"


@pytest.mark.parametrize("declared", ["rot13", "idna", "no-such-codec"])
def test_a_declared_encoding_that_is_none_is_passed_over(declared: str) -> None:
    assert read(f'<meta charset="{declared}"><p>caf\xe9'.encode("latin-1"), ".html", "x.html").text == "café"


@settings(deadline=None)  # the first HTML imports its converter
@given(st.binary(max_size=400), st.sampled_from([".md", ".rst", ".txt", ".html", ".1", ".tex", ".org", ""]))
def test_no_bytes_make_reading_text_fail(data: bytes, suffix: str) -> None:
    if not encodings.is_binary(data):
        assert read(data, suffix, "name").title


@pytest.mark.parametrize("suffix", sorted(guarded_readers.SUFFIXES))
@settings(deadline=None)
@given(data=st.binary(max_size=200))
def test_whatever_a_converter_raises_becomes_a_source_error(suffix: str, data: bytes) -> None:
    with pytest.raises(SourceError, match=r"the file"):
        read(data, suffix, "name")


def test_binary_data_is_no_text() -> None:
    with pytest.raises(SourceError, match="binary"):
        read(b"abc\0def", ".txt", "x.txt")


# Converted formats


def test_html_becomes_markdown_without_navigation_scripts_and_addresses() -> None:
    page = (
        "<html><head><title>Wind - My Site</title><style>p {}</style></head><body><nav>Home</nav>"
        '<h1>Wind<a class="headerlink">¶</a></h1><script>var x</script><p>Air <a href="http://x.org">moves</a>.</p>'
        '<img src="data:image/png;base64,AAAA" alt="Map"><ul><li>one</li></ul></body></html>'
    )
    assert read(page.encode(), ".htm", "x.htm") == FileContent("# Wind\n\nAir moves.\n\nMap\n\n* one", "Wind")


def test_html_that_marks_its_main_part_is_that_part() -> None:
    page = b"<body><header>Site</header><main><p>Content</p></main><footer>Imprint</footer></body>"
    assert read(page, ".html", "x.html").text == "Content"


def test_html_after_front_matter_is_converted() -> None:
    page = b"---\ntitle: Storage\nslug: a/b\n---\n<p>Text &amp; more</p>"
    assert read(page, ".html", "x.html") == FileContent("Text & more", "Storage", {"slug": "a/b"})


def test_html_without_text_is_an_empty_text() -> None:
    assert read(b'<meta http-equiv="refresh" content="0">', ".html", "old-name.html") == FileContent("", "Old name")


def test_html_nested_beyond_reason_keeps_its_text() -> None:
    assert "deep" in read(b"<div>" * 5000 + b"deep" + b"</div>" * 5000, ".html", "x.html").text


def test_docx_becomes_markdown_with_its_title() -> None:
    body = paragraph("Before") + paragraph("The title", "T") + paragraph("A paragraph.")
    assert read(docx(body), ".docx", "x.docx") == FileContent("Before\n\n# The title\n\nA paragraph.", "The title")


def test_docx_without_headings_is_named_by_its_first_line() -> None:
    assert read(docx(paragraph("Opening") + paragraph("More")), ".DOCX", "x.docx").title == "Opening"


def test_pptx_becomes_markdown_with_the_title_of_its_first_slide() -> None:
    text = read(_pptx({"Wind": "Air moves", "Rain": "Water falls"}), ".pptx", "x.pptx")
    assert text == FileContent("# Wind\nAir moves\n\n# Rain\nWater falls", "Wind")


def test_xlsx_becomes_one_table_per_sheet_that_is_not_empty() -> None:
    sheets: dict[str, list[list[object]]] = {
        "Stock": [["name", "count"], ["nut", 3], [None, None], ["bolt", None]],
        "No": [],
    }
    table = "## Stock\n\n| name | count |\n| --- | --- |\n| nut | 3 |\n| bolt |"
    assert read(_xlsx(sheets), ".xlsx", "parts_list.xlsx") == FileContent(table, "Parts list")


def test_epub_becomes_markdown_with_its_title() -> None:
    parts = {
        "META-INF/container.xml": _CONTAINER,
        "content.opf": _OPF,
        "a.xhtml": "<body><h1>One</h1><p>Air</p></body>",
    }
    assert read(archive_of(parts), ".epub", "x.epub") == FileContent("# One\n\nAir", "Wind")


def test_a_notebook_becomes_markdown_with_its_first_heading_as_title() -> None:
    cells = [{"cell_type": "markdown", "source": ["# Plan\n", "text"]}, {"cell_type": "code", "source": "x = 1"}]
    notebook = json.dumps({"cells": cells, "nbformat": 4, "metadata": {}}).encode()
    assert read(notebook, ".ipynb", "x.ipynb") == FileContent("# Plan\ntext\n\n```python\nx = 1\n```", "Plan")


def test_pdf_becomes_text_with_its_title() -> None:
    assert read(pdf("Air moves.", title="On_Wind"), ".pdf", "x.pdf") == FileContent("Air moves.", "On Wind")


@pytest.mark.parametrize("title", ["", "Untitled document", "Microsoft Word - draft.doc"])
def test_pdf_with_a_title_that_says_nothing_is_named_by_its_first_line(title: str) -> None:
    assert read(pdf("Air moves.", title=title), ".pdf", "x.pdf").title == "Air moves."


# Files that are refused


def _refused(data: bytes, suffix: str) -> str:
    with pytest.raises(SourceError) as caught:
        read(data, suffix, f"x{suffix}")
    return str(caught.value)


def test_pdf_and_docx_without_text_are_refused() -> None:
    assert (
        _refused(pdf(""), ".pdf")
        == _refused(docx(""), ".docx")
        == "the file contains no text; it may be made of scanned images"
    )


def test_pdf_with_a_password_is_refused_by_that_name() -> None:
    key = "0" * 64
    trailer = f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{key}> /U <{key}> >> /ID [<00> <00>]"
    assert _refused(pdf("secret", trailer=trailer), ".pdf") == "the PDF is protected by a password"


def test_office_files_that_are_encrypted_or_old_are_refused_by_that_name() -> None:
    assert "encrypted" in _refused(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), ".docx")


@pytest.mark.parametrize("suffix", [".docx", ".pptx", ".xlsx", ".epub", ".pdf"])
def test_damaged_files_are_refused_in_one_line(suffix: str) -> None:
    whole = {".docx": docx(paragraph("a")), ".pptx": _pptx({"a": "b"}), ".xlsx": _xlsx({"a": [["b"]]})}
    data = whole.get(suffix, archive_of({"a": "b"}))[:-40]
    assert "the file is damaged" in _refused(data, suffix)
    assert "\n" not in _refused(data, suffix)


def test_an_archive_that_unpacks_to_too_much_is_refused_unread() -> None:
    bomb = docx(paragraph("a"), extra={"word/media/a.bin": "0" * 60_000_000})
    assert _refused(bomb, ".docx") == "the file would unpack to 60 MB, more than is safe to read"


def test_an_archive_that_lies_about_its_size_is_refused() -> None:
    honest = archive_of({"word/document.xml": "0" * 60_000_000})
    size = (60_000_000).to_bytes(4, "little")
    assert "BadZipFile" in _refused(honest.replace(size, (1000).to_bytes(4, "little")), ".docx")


@pytest.mark.parametrize("suffix", [".docx", ".epub", ".xlsx", ".pptx"])
def test_xml_entities_are_not_multiplied(suffix: str) -> None:
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    prolog = f'<!DOCTYPE x [<!ENTITY l0 "lol">{levels}]>'
    parts = {
        ".docx": docx(paragraph("&l9;"), prolog=prolog),
        ".epub": archive_of({"META-INF/container.xml": prolog + _CONTAINER.replace("content.opf", "&l9;")}),
        ".xlsx": archive_of({"[Content_Types].xml": prolog + "<x>&l9;</x>"}),
        ".pptx": archive_of({"[Content_Types].xml": prolog + "<x>&l9;</x>"}),
    }
    started = time.process_time()
    assert "the file" in _refused(parts[suffix], suffix)
    assert time.process_time() - started < 10


@pytest.mark.parametrize("suffix", [".md", ".rst", ".tex", ".org", ".1", ".txt"])
@pytest.mark.parametrize(
    "hostile",
    [
        "[" * 300_000,
        "# " + " " * 300_000,
        "a\n=" * 100_000,
        ".de x\n" * 50_000 + ".TH a",
        "---\n" + "a: b\n" * 20_000,
        "Title:\n" * 50_000,
        "`" * 300_000,
        "\\title{" * 50_000,
        "=" * 300_000,
        ".TH a\n" + '"' * 300_000,
        " \n" * 200_000,
    ],
)
def test_hostile_texts_are_read_in_linear_time(hostile: str, suffix: str) -> None:
    started = time.process_time()
    read(hostile.encode(), suffix, "x")
    assert time.process_time() - started < 5


def test_converters_are_imported_only_when_such_a_file_comes() -> None:
    code = (
        "import sys; from docsim.ingest import formats, sources; formats.read(b'# a', '.md', 'a.md');"
        "names = {'markitdown', 'pypdfium2', 'openpyxl', 'lxml', 'chardet', 'webencodings', 'pandas', 'yaml'};"
        "heavy = names & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
