"""Hostile files for fuzzing, in every format that docsim reads: small ones from ``fuzz_corpus``, and ones made here.

``SEEDS`` are what fuzzing starts from: for each suffix some sound files and some hostile ones. ``LARGE`` are files that
cost too much where a reader is not linear, or holds everything at once.
"""

from __future__ import annotations

import functools
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st
from office_files import archive_of, docx, paragraph, pdf

__all__ = ["LARGE", "PACKED", "SUFFIXES", "altered", "seeds"]

CORPUS = Path(__file__).parent / "fuzz_corpus"
PACKED = {".docx", ".pptx", ".xlsx", ".epub"}
SUFFIXES = sorted(
    {".html", ".md", ".mdx", ".rst", ".txt", ".tex", ".adoc", ".org", ".1", ".eml", ".ipynb", ".pdf", *PACKED}
)

PIECES = [
    b"<", b">", b"</p>", b"<b>", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<table>", b"<td rowspan=99999999>",
    b"<?xml", b"&#0;", b"&#x1b;", b"&lt;", b"&#xd800;", b'<!DOCTYPE a [<!ENTITY b "bb">]>', b"&b;",
    b"<meta charset=utf-7>", b"\x1b]0;owned\x07", b"\x1b[2J", b"\x9b31m", "\u202egpj\u2066".encode(), b"\0",
    b"\xff\xfe", b"\xed\xa0\x80", b"\r", b"---\n", b"+++\n", b"title: [\n", b"title: !!python/object:os.system x\n",
    b"&a [*a]\n", b"```\n", b"> ", b"* ", b"    ", b"=====\n", b".. include:: /etc/passwd\n", b"\\input{/etc/passwd}",
    b".TH A 1\n", b".de x\n", b"\\f[B]", b"{", b"}", b"[", b"]", b'"', b"'", b"1e999", b"-1", b"99999999999999999999",
    b"NaN", b"null", b'{"cells": 1}', b"%PDF-1.4\n", b"1 0 obj\n", b"<<", b">>", b"/Kids [2 0 R]",
    b"/Length 99999999", b"/Parent 3 0 R", b"stream\n", b"endobj\n", b"startxref\n0\n",
    b"Subject: =?utf-8?b?////?=\n", b"Content-Type: multipart/mixed; boundary=a\n\n--a\n",
    b"Content-Transfer-Encoding: base64\n\n", b"From: a@b\nDate: 99 Foo\n", b"<w:p>", b"<w:t>",
    b"<w:tbl><w:tr><w:tc>", b"<a:t>", b'<c r="XFD1048576"><v>1</v></c>', b'r="A0"', b"<itemref idref='x'/>",
    "\u0301".encode() * 9, "\ufdfa".encode(), b"\n\n", b" " * 99, b"a" * 99,
]  # fmt: skip


@functools.cache
def seeds(suffix: str) -> tuple[bytes, ...]:
    """Return what fuzzing a format starts from, at least one file."""
    made = {
        ".docx": lambda: [
            docx(paragraph("Soup", "T") + paragraph("Boil the lentils.")),
            docx("<w:tbl>" * 40 + paragraph("deep") + "</w:tbl>" * 40),
            docx(paragraph("a"), extra={"word/document.xml": "<a>", "../../evil.xml": "x", "/etc/passwd": "y"}),
        ],
        ".xlsx": lambda: [sheet(), archive_of({"xl/workbook.xml": "<workbook/>"})],
        ".pptx": lambda: [slides(), archive_of({"ppt/presentation.xml": "<p/>"})],
        ".epub": lambda: [book(), archive_of({"mimetype": "application/epub+zip"})],
        ".pdf": lambda: [
            pdf("Boil the lentils.", title="Soup"),
            pdf("a", title="\\033]0;owned\\007", trailer="/Prev 9"),
            pdf("").replace(b"/Kids [3 0 R]", b"/Kids [2 0 R]"),
        ],
        ".ipynb": lambda: [notebook(), b'{"cells": {"a": 1}, "nbformat": "four"}'],
    }
    files = sorted(CORPUS.glob(f"*{suffix}"))
    return (*(made[suffix]() if suffix in made else ()), *(file.read_bytes() for file in files))


def sheet() -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["team", "\u202eowner", 3.5, "=1/0"])
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def slides() -> bytes:
    from pptx import Presentation

    show = Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = "Soup"
    slide.placeholders[1].text = "Boil the lentils."
    stream = io.BytesIO()
    show.save(stream)
    return stream.getvalue()


def book() -> bytes:
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<dc:title>Soup</dc:title></metadata><manifest><item id='a' href='a.xhtml' media-type='application/xhtml+xml'/>"
        "<item id='b' href='../../b.xhtml' media-type='application/xhtml+xml'/></manifest>"
        "<spine><itemref idref='a'/><itemref idref='b'/></spine></package>"
    )
    container = '<container><rootfiles><rootfile full-path="p.opf"/></rootfiles></container>'
    page = "<html><body><h1>Soup</h1><p>Boil the lentils.</p></body></html>"
    return archive_of({"META-INF/container.xml": container, "p.opf": package, "a.xhtml": page})


def notebook() -> bytes:
    cells = [
        {"cell_type": "markdown", "source": ["# Soup\n", "Boil."]},
        {"cell_type": "code", "source": "x", "outputs": []},
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}).encode()


@st.composite
def altered(draw: st.DrawFn, suffix: str) -> bytes:
    """Return a file of a format that was altered in some places; of a packed one, mostly the parts in it."""
    data = draw(st.sampled_from(seeds(suffix)))
    if suffix in PACKED and draw(st.integers(0, 3)):
        return _repacked(draw, data)
    return _damaged(draw, data, seeds(suffix))


def _damaged(draw: st.DrawFn, data: bytes, others: Sequence[bytes]) -> bytes:
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 1, 4, 64, 4096])))
        how = draw(st.sampled_from(["piece", "piece", "pieces", "repeat", "cut", "noise", "other"]))
        if how == "piece":
            new = draw(st.sampled_from(PIECES))
        elif how == "pieces":
            new = draw(st.sampled_from(PIECES)) * draw(st.sampled_from([2, 50, 2000]))
        elif how == "repeat":
            new = data[start:end] * draw(st.sampled_from([2, 20]))
        elif how == "other":
            new = draw(st.sampled_from(others))[start:]
        else:
            new = b"" if how == "cut" else draw(st.binary(max_size=8))
        data = (data[:start] + new + data[end:])[:300_000]
    return data


def _repacked(draw: st.DrawFn, data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {one: archive.read(one) for one in archive.namelist()}
    for name in draw(st.lists(st.sampled_from(sorted(parts)), min_size=1, max_size=3, unique=True)):
        parts[name] = _damaged(draw, parts[name], list(parts.values()))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _deep(tag: str, count: int, inside: str = "x") -> bytes:
    return f"{f'<{tag}>' * count}{inside}{f'</{tag}>' * count}".encode()


LARGE = {
    "tags that never end.html": b"<" * 1_000_000,
    "tags in tags.html": b"<a <a" * 200_000,
    "breaks.html": b"<br>" * 250_000,
    "deep.html": _deep("div", 100_000),
    "CDATA in CDATA.html": b"<![CDATA[" * 100_000,
    "comments.html": b"<!-" * 300_000,
    "entities.html": b"&amp" * 250_000,
    "links.html": b"<a href=x>y</a> " * 60_000,
    "blanks.html": b"<p>" + b" " * 1_000_000 + b"x",
    "attributes.html": b"<p " + b"a=b " * 250_000 + b">x",
    "punycode.html": b"<meta charset=punycode>" + b"a-" * 200_000,
    "attributes of many names.html": b"<p " + b" ".join(b"a%d=b" % one for one in range(100_000)) + b">x",
    "rows.html": b"<table>" + b"<tr><td>a<td>b" * 50_000,
    "quotes.md": b"> " * 500_000,
    "brackets.md": b"[" * 1_000_000,
    "front matter.md": b"---\n" + b"a: &a [*a, *a]\n" * 1000 + b"---\n",
    "deep front matter.md": b"---\na: " + b"[" * 100_000 + b"\n---\nx",
    "imports.mdx": b"import x from 'y'\n<A " * 50_000,
    "fields.rst": b":a: b\n" * 150_000,
    "titles.rst": b"===\na\n===\n" * 100_000,
    "macros.1": b".TH A 1\n" + b".B \\fB\\fI\\f\n" * 70_000,
    "colours.log": b"\x1b[" * 500_000,
    "titles of windows.log": b"\x1b]0;" * 250_000,
    "backspaces.txt": b"a\b" * 500_000,
    "base64.txt": b"A" * 61 + b"\n" + (b"A" * 61 + b"\n") * 16_000,
    "headers.eml": b"X-A: b\n" * 100_000 + b"\nx",
    "receivers.eml": b"To: " + b"a@b.c, " * 60_000 + b"\n\nx",
    "comments of a receiver.eml": b"To: " + b"(a)" * 60_000 + b"\n\nx",
    "parameters.eml": b"Content-Type: text/plain; " + b"a=b; " * 60_000 + b"\n\nx",
    "words of a subject.eml": b"Subject: " + b"=?utf-8?q?a?= " * 60_000 + b"\n\nx",
    "folds.eml": b"Subject: a\n" + b" b\n" * 200_000 + b"\n\nx",
    "parts.eml": b"Content-Type: multipart/mixed; boundary=a\n\n" + b"--a\n\nx\n" * 20_000,
    "deep.ipynb": b'{"cells": ' + b"[" * 200_000,
    "deep.docx": docx("<w:sdt><w:sdtContent>" * 20_000 + paragraph("x") + "</w:sdtContent></w:sdt>" * 20_000),
    "paragraphs.docx": docx(paragraph("x") * 30_000),
    "kids.pdf": pdf("a").replace(b"/Kids [3 0 R]", b"/Kids [" + b"3 0 R " * 50_000 + b"]"),
}
"""Files by name."""
