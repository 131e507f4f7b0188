"""No text of a Word file is dropped without a word, wherever it stands."""

from __future__ import annotations

import time

import pytest
from office_files import docx, paragraph

from docsim.ingest.content import FileContent
from docsim.ingest.formats import read

BASE = "http://schemas.openxmlformats.org"
WORD = f'xmlns:w="{BASE}/wordprocessingml/2006/main"'


def run(text: str) -> str:
    return f"<w:r><w:t>{text}</w:t></w:r>"


def related(**parts: tuple[str, str, str]) -> dict[str, str]:
    """Return parts and the relations to them: by id, the kind, the name and the content."""
    listed = "".join(
        f'<Relationship Id="{id}" Type="{BASE}/officeDocument/2006/relationships/{kind}" Target="{name}"/>'
        for id, (kind, name, _) in parts.items()
    )
    relations = f'<Relationships xmlns="{BASE}/package/2006/relationships">{listed}</Relationships>'
    return {"word/_rels/document.xml.rels": relations} | {f"word/{name}": body for _, name, body in parts.values()}


def content(body: str, extra: dict[str, str] | None = None) -> FileContent:
    return read(docx(paragraph("Rules") + body, extra=extra), ".docx", "x.docx")


def text(body: str, extra: dict[str, str] | None = None) -> str:
    return content(body, extra).text


@pytest.mark.parametrize(
    "wrapped",
    [
        f'<w:ins w:id="1">{run("Lunch is free")}</w:ins>',
        f'<w:moveTo w:id="1">{run("Lunch is free")}</w:moveTo>',
        f'<w:fldSimple w:instr=" DOCPROPERTY x ">{run("Lunch is free")}</w:fldSimple>',
        f'<w:bdo w:val="rtl">{run("Lunch is free")}</w:bdo>',
        f'<w:dir w:val="rtl">{run("Lunch is free")}</w:dir>',
        f'<w:smartTag w:element="x">{run("Lunch is free")}</w:smartTag>',
        f'<w:customXml w:element="x"><w:customXmlPr/>{run("Lunch is free")}</w:customXml>',
        f"<w:sdt><w:sdtPr><w:text/></w:sdtPr><w:sdtContent>{run('Lunch is free')}</w:sdtContent></w:sdt>",
        f'<w:ins w:id="1"><w:fldSimple w:instr="x">{run("Lunch ")}</w:fldSimple>{run("is free")}</w:ins>',
        f'<w:hyperlink w:anchor="x">{run("Lunch is free")}</w:hyperlink>',
        '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>REF x</w:instrText></w:r>'
        f'<w:r><w:fldChar w:fldCharType="separate"/></w:r>{run("Lunch is free")}'
        '<w:r><w:fldChar w:fldCharType="end"/></w:r>',
    ],
)
def test_text_within_wrappers_is_read_once(wrapped: str) -> None:
    assert text(f"<w:p>{wrapped}</w:p>") == "Rules\n\nLunch is free"


@pytest.mark.parametrize(
    "wrapped",
    [
        f'<w:customXml w:element="x">{paragraph("Lunch is free")}</w:customXml>',
        f"<w:sdt><w:sdtPr/><w:sdtContent>{paragraph('Lunch is free')}</w:sdtContent></w:sdt>",
        f'<w:moveToRangeStart w:id="1"/>{paragraph("Lunch is free")}<w:moveToRangeEnd w:id="1"/>',
    ],
)
def test_paragraphs_within_wrappers_are_read_once(wrapped: str) -> None:
    assert text(wrapped) == "Rules\n\nLunch is free"


def test_text_that_was_moved_away_or_deleted_is_gone() -> None:
    moved = (
        f'<w:p><w:moveFrom w:id="1">{run("Old")}</w:moveFrom><w:del w:id="2">{run("Older")}</w:del>{run("New")}</w:p>'
    )
    assert text(moved) == "Rules\n\nNew"


def test_ruby_is_read_with_its_base() -> None:
    ruby = f"<w:ruby><w:rubyPr/><w:rt>{run('kana')}</w:rt><w:rubyBase>{run('Kanji')}</w:rubyBase></w:ruby>"
    found = text(f"<w:p><w:r>{ruby}</w:r></w:p>")
    assert "kana" in found
    assert "Kanji" in found


def test_headers_footers_notes_and_comments_are_read_once() -> None:
    part = f"<w:{{0}} {WORD}>{paragraph('{1}')}</w:{{0}}>"
    extra = related(
        h=("header", "header1.xml", part.format("hdr", "Form QX-12")),
        i=("header", "header2.xml", part.format("hdr", "Form QX-12")),
        f=("footer", "footer1.xml", part.format("ftr", "Owner: quality")),
        c=(
            "comments",
            "comments.xml",
            f'<w:comments {WORD}><w:comment w:id="0">{paragraph("Ask Kim")}</w:comment></w:comments>',
        ),
    )
    found = content("", extra)
    assert found.text == "Rules\n\nForm QX-12\n\nOwner: quality\n\nAsk Kim"
    assert found.title == "Rules"


def test_a_paragraph_with_a_note_or_a_formula_is_read_once() -> None:
    note = f'<w:footnotes {WORD}><w:footnote w:id="2">{paragraph("See annex")}</w:footnote></w:footnotes>'
    formula = (
        f'<m:oMath xmlns:m="{BASE}/officeDocument/2006/math"><m:f><m:num><m:r><m:t>a</m:t></m:r></m:num>'
        "<m:den><m:r><m:t>b</m:t></m:r></m:den></m:f></m:oMath>"
    )
    reference = '<w:r><w:footnoteReference w:id="2"/></w:r>'
    body = f"<w:p>{run('Before ')}{reference}{run(' between ')}{formula}{run(' after')}</w:p>"
    found = text(body, related(n=("footnotes", "footnotes.xml", note)))
    assert [found.count(word) for word in ("Before", "between", "after", "annex")] == [1, 1, 1, 1]


def test_footnotes_are_read() -> None:
    note = f'<w:footnotes {WORD}><w:footnote w:id="2">{paragraph("See annex")}</w:footnote></w:footnotes>'
    body = '<w:p><w:r><w:footnoteReference w:id="2"/></w:r></w:p>'
    assert text(body, related(n=("footnotes", "footnotes.xml", note))).count("See annex") == 1


@pytest.mark.parametrize("kind", ["footnote", "endnote"])
def test_a_note_that_is_named_many_times_is_read_once(kind: str) -> None:
    note = f'<w:{kind}s {WORD}><w:{kind} w:id="2">{paragraph("See annex")}</w:{kind}></w:{kind}s>'
    body = "<w:p>" + f'<w:r><w:{kind}Reference w:id="2"/></w:r>' * 1000 + "</w:p>"
    assert text(body, related(n=(f"{kind}s", f"{kind}s.xml", note))).count("See annex") == 1


@pytest.mark.parametrize(
    ("body", "most"),
    [
        ("<w:bookmarkStart/>" * 150_000, 4),
        ("<w:p>" + f"<w:ins>{run('soup ')}</w:ins>" * 50_000 + "</w:p>", 12),
        (f"<w:sdt><w:sdtContent>{paragraph('soup')}</w:sdtContent></w:sdt>" * 30_000, 12),
    ],
    ids=["marks", "changes", "controls"],
)
def test_very_many_elements_that_are_unwrapped_take_linear_time(body: str, most: float) -> None:
    started = time.process_time()
    assert text(body).startswith("Rules")
    assert time.process_time() - started < most


def test_very_many_parts_with_notes_take_linear_time() -> None:
    note = f'<w:footnotes {WORD}><w:footnote w:id="%d">{paragraph("See annex")}</w:footnote></w:footnotes>'
    parts = {f"n{number}": ("footnotes", f"notes{number}.xml", note % number) for number in range(2000)}
    started = time.process_time()
    assert text("", related(**parts)).count("See annex") == 1
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("name", "inserted"),
    [
        ("a.html", "<p>Fees <b>are</b> due"),
        ("a.txt", "Fees are due"),
        ("a.htm", "<meta charset=utf-8><p>Fees are due"),
        ("a.mht", "MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n<p>Fees are due"),
    ],
)
def test_an_inserted_file_is_read_where_it_stands(name: str, inserted: str) -> None:
    body = f'<w:altChunk xmlns:r="{BASE}/officeDocument/2006/relationships" r:id="c"/>' + paragraph("After")
    found = text(body, related(c=("aFChunk", name, inserted))).replace("*", "")
    assert found == "Rules\n\nFees are due\n\nAfter"


def test_an_inserted_file_that_is_named_many_times_is_read_once() -> None:
    chunk = f'<w:altChunk xmlns:r="{BASE}/officeDocument/2006/relationships" r:id="c"/>'
    assert text(500 * chunk, related(c=("aFChunk", "a.txt", "Fees are due"))).count("Fees") == 1


def test_an_inserted_file_that_is_not_read_makes_the_document_incomplete() -> None:
    body = f'<w:altChunk xmlns:r="{BASE}/officeDocument/2006/relationships" r:id="c"/>'
    assert content(body, related(c=("aFChunk", "a.rtf", "{\\rtf1}"))).lost == ("an inserted file (rtf)",)


def test_embedded_files_make_the_document_incomplete() -> None:
    assert content("", {"word/embeddings/budget.bin": "x"}).lost == ("1 embedded file",)


@pytest.mark.parametrize(
    "fallback",
    ["", "<mc:Fallback><w:pict><v:textbox><w:txbxContent>{box}</w:txbxContent></v:textbox></w:pict></mc:Fallback>"],
)
def test_a_text_box_is_read_once(fallback: str) -> None:
    box = paragraph("Mind the gap")
    body = (
        f'<w:p xmlns:mc="{BASE}/markup-compatibility/2006" xmlns:v="urn:schemas-microsoft-com:vml"'
        ' xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"><w:r><mc:AlternateContent>'
        f'<mc:Choice Requires="wps"><w:drawing><wps:txbx><w:txbxContent>{box}</w:txbxContent></wps:txbx></w:drawing>'
        f"</mc:Choice>{fallback.format(box=box)}</mc:AlternateContent></w:r></w:p>"
    )
    assert text(body).count("Mind the gap") == 1


def test_emphasis_within_a_word_leaves_it_whole() -> None:
    half = f"<w:p>{run('Haus')}<w:r><w:rPr><w:b/></w:rPr><w:t>tier</w:t></w:r>{run(' und max_count')}</w:p>"
    assert text(half) == "Rules\n\nHaustier und max_count"


def test_a_strict_file_is_read() -> None:
    import io
    import zipfile

    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(docx(paragraph("Strictly so")))) as usual, zipfile.ZipFile(stream, "w") as strict:
        for name in usual.namelist():
            part = usual.read(name).decode()
            for kind in ("wordprocessingml", "officeDocument"):
                part = part.replace(f"{BASE}/{kind}/2006/", f"http://purl.oclc.org/ooxml/{kind}/")
            strict.writestr(name, part)
    assert read(stream.getvalue(), ".docx", "x.docx").text == "Strictly so"


def test_links_and_notes_that_refer_to_what_is_not_there_lose_no_text() -> None:
    relation = f'xmlns:r="{BASE}/officeDocument/2006/relationships" r:id="gone"'
    link = f"<w:p><w:hyperlink {relation}>{run('Lunch is free')}</w:hyperlink></w:p>"
    notes = '<w:r><w:footnoteReference w:id="7"/></w:r><w:r><w:endnoteReference w:id="7"/></w:r>'
    assert text(f"{link}<w:p>{run('Dinner')}{notes}</w:p>") == "Rules\n\nLunch is free\n\nDinner"


def test_a_reading_follows_the_text_that_it_tells_how_to_read() -> None:
    ruby = f"<w:ruby><w:rubyPr/><w:rt>{run('kyou')}</w:rt><w:rubyBase>{run('today')}</w:rubyBase></w:ruby>"
    assert text(f"<w:p><w:r>{ruby}</w:r></w:p>") == "Rules\n\ntoday(kyou)"


def numbered(levels: str, body: str, *, styles: str = "") -> str:
    """Return the text of paragraphs that are numbered by some levels."""
    numbering = (
        f'<w:numbering {WORD}><w:abstractNum w:abstractNumId="3">{levels}</w:abstractNum>'
        '<w:num w:numId="1"><w:abstractNumId w:val="3"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="3"/>'
        '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="9"/></w:lvlOverride></w:num></w:numbering>'
    )
    looks = f"<w:styles {WORD}>{styles}</w:styles>"
    return text(
        body, related(r1=("numbering", "numbering.xml", numbering), r2=("styles", "styles.xml", looks))
    ).removeprefix("Rules\n\n")


def level(number: int, label: str, *, kind: str = "decimal", style: str = "") -> str:
    named = f'<w:pStyle w:val="{style}"/>' if style else ""
    return (
        f'<w:lvl w:ilvl="{number}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/>{named}<w:lvlText w:val="{label}"/>'
        "</w:lvl>"
    )


def item(words: str, depth: int = 0, number: int = 1) -> str:
    properties = f'<w:pPr><w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="{number}"/></w:numPr></w:pPr>'
    return f"<w:p>{properties}{run(words)}</w:p>"


def test_numbers_that_word_counts_are_read() -> None:
    levels = level(0, "Article %1", kind="upperRoman") + level(1, "%1.%2") + level(2, "(%3)", kind="lowerLetter")
    body = item("Lunch") + item("Free", 1) + item("Soup", 1) + item("Dinner") + item("Late", 1) + item("Tea", 0, 2)
    assert numbered(levels, body).split("\n\n") == [
        *("Article I Lunch", "I.1 Free", "I.2 Soup", "Article II Dinner", "II.1 Late", "Article IX Tea")
    ]


def test_numbers_of_captions_come_from_their_style_and_those_of_lists_stay_lists() -> None:
    style = (
        '<w:style w:type="paragraph" w:styleId="C"><w:name w:val="Caption"/><w:pPr><w:numPr><w:numId w:val="1"/>'
        '</w:numPr></w:pPr></w:style><w:style w:type="paragraph" w:styleId="D"><w:name w:val="D"/>'
        '<w:basedOn w:val="C"/></w:style>'
    )
    levels = level(0, "%1.") + level(1, "Listing %2:", style="C")
    body = paragraph("Soup", "C") + paragraph("Bread", "D") + item("Salt") + item("Oil")
    assert numbered(levels, body, styles=style) == "Listing 1: Soup\n\nListing 2: Bread\n\n1. Salt\n2. Oil"


def test_the_number_of_a_heading_is_read() -> None:
    style = (
        '<w:style w:type="paragraph" w:styleId="H"><w:name w:val="heading 1"/><w:pPr><w:numPr><w:numId w:val="1"/>'
        '</w:numPr><w:outlineLvl w:val="0"/></w:pPr></w:style>'
    )
    found = numbered(level(0, "%1"), paragraph("Scope", "H") + paragraph("Terms", "H"), styles=style)
    assert found == "# 1 Scope\n\n# 2 Terms"


def test_merged_cells_of_a_table_do_not_shift_the_cells_after_them() -> None:
    def cell(text: str, properties: str = "") -> str:
        return f"<w:tc><w:tcPr>{properties}</w:tcPr>{paragraph(text)}</w:tc>"

    rows = [
        cell("Region", '<w:vMerge w:val="restart"/>') + cell("Sales", '<w:gridSpan w:val="2"/>'),
        cell("", "<w:vMerge/>") + cell("Q1") + cell("Q2"),
        cell("North") + cell("1") + cell("2"),
    ]
    table = f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"
    expected = ["| Region | Sales |  |", "| --- | --- | --- |", "|  | Q1 | Q2 |", "| North | 1 | 2 |"]
    assert text(table).splitlines()[2:] == expected
