"""Word: the XML is put into a shape that mammoth reads whole, and mammoth makes HTML of it.

mammoth leaves out what it does not know: moved text, fields, ruby, content controls, custom XML, text boxes, inserted
files, headers and footers. So these are unwrapped or moved to where it finds them. At the end every paragraph of the
file is looked up in the result, and one that is not there is added.
"""

from __future__ import annotations

import email
import email.policy
import io
from collections.abc import Callable

from lxml import etree

from docsim.ingest.content import FileContent, first_line, one_line, tidy, titled
from docsim.ingest.encodings import decode
from docsim.ingest.markup import markdown
from docsim.ingest.readers import archives, html
from docsim.ingest.readers.archives import Element
from docsim.ingest.readers.html_markdown import to_markdown
from docsim.ingest.readers.office import paragraphs, property_title, unread

__all__ = ["read"]

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_COMPATIBILITY = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_STYLES = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => h2:fresh"

_GONE = {
    "del",
    "moveFrom",
    "moveFromRangeStart",
    "moveFromRangeEnd",
    "instrText",
    "delText",
    "sdtPr",
    "sdtEndPr",
    "rubyPr",
    "customXmlPr",
    "smartTagPr",
    "fldData",
    "bookmarkStart",
    "bookmarkEnd",
    "proofErr",
}
_UNWRAPPED = {
    "ins",
    "moveTo",
    "smartTag",
    "customXml",
    "sdt",
    "sdtContent",
    "fldSimple",
    "bdo",
    "dir",
    "ruby",
    "rubyBase",
}
_PARTS = ("header", "footer", "footnotes", "endnotes", "comments", "diagramData", "chart")


def read(data: bytes, *, depth: int = 0) -> FileContent:
    """Read a Word file as Markdown; its headers, footers and comments come last."""
    parts = archives.unpacked(data)
    main = next(
        (name for kind, name in archives.relations(parts, "").values() if kind == "officeDocument"), "word/document.xml"
    )
    related = archives.relations(parts, main)
    bodies = [main, *(name for kind, name in related.values() if kind in ("footnotes", "endnotes", "comments"))]
    lost: list[str] = []
    chunks: list[str] = []

    def chunk(relation: str) -> str:
        chunks.append(_inserted(parts, related.get(relation, ("", ""))[1], lost, depth))
        return f"docsimchunk{len(chunks) - 1}x"

    trees = {name: archives.parsed(parts[name]) for name in dict.fromkeys(bodies) if name in parts}
    for name, tree in trees.items():
        _unwrap(tree, chunk)
        parts[name] = etree.tostring(tree, xml_declaration=True, encoding="UTF-8")
    text = _converted(parts)
    content = markdown(text)
    title = content.title or property_title(parts) or first_line(content.text)
    for number, inserted in enumerate(chunks):
        text = text.replace(f"docsimchunk{number}x", inserted)
    others = [name for kind, name in related.values() if kind in _PARTS and name in parts]
    beside = [
        line
        for name in dict.fromkeys(others)
        for line in paragraphs(trees[name] if name in trees else archives.parsed(parts[name]))
    ]
    added = archives.missing([*paragraphs(trees[main]), *beside], text)
    whole = "\n\n".join([text, *(one for one in added if not one.startswith("docsimchunk"))])
    return titled(FileContent(tidy(whole), lost=(*lost, *unread(parts))), one_line(title))


def _converted(parts: dict[str, bytes]) -> str:
    import mammoth
    from markitdown.converter_utils.docx.pre_process import pre_process_docx

    stream: io.BytesIO = pre_process_docx(archives.packed(parts))  # formulas become LaTeX
    made = mammoth.convert_to_html(
        stream, style_map=_STYLES, convert_image=mammoth.images.img_element(lambda _: {"src": ""})
    )
    page = html.tree(made.value)
    return tidy(to_markdown(page)) if page is not None else ""


def _unwrap(tree: Element, chunk: Callable[[str], str]) -> None:
    """Change a part so that all its text is in paragraphs and runs."""
    for element in list(tree.iter()):
        name = str(element.tag)
        if name == f"{_COMPATIBILITY}AlternateContent":
            _lift_text_boxes(element)
        if not name.startswith(_WORD):
            continue
        name = name[len(_WORD) :]
        if name in _GONE:
            _remove(element)
        elif name == "altChunk":
            _replace(element, [_paragraph(chunk(element.get(_RELATION, "")))])
        elif name == "rt":
            _replace(element, [_run("("), *element, _run(")")])
        elif name in _UNWRAPPED:
            _replace(element, list(element))


def _lift_text_boxes(element: Element) -> None:
    """Put the paragraphs of a text box behind the paragraph that it is anchored in, and forget its older version."""
    choice = element.find(f"{_COMPATIBILITY}Choice")
    boxes = list(choice.iter(f"{_WORD}txbxContent")) if choice is not None else []
    anchor = next(element.iterancestors(f"{_WORD}p"), None)
    if not boxes or anchor is None or anchor.getparent() is None:
        return
    parent = anchor.getparent()
    for number, block in enumerate([block for box in boxes for block in list(box)], parent.index(anchor) + 1):
        parent.insert(number, block)
    _remove(element)


def _inserted(parts: dict[str, bytes], name: str, lost: list[str], depth: int) -> str:
    """Return the Markdown of a file that was inserted as a whole (altChunk)."""
    data, suffix = parts.get(name, b""), name.rpartition(".")[2].lower()
    if suffix in ("htm", "html", "xhtml"):
        return html.read(decode(data, declared=html.declared_encoding(data))).text
    if suffix in ("mht", "mhtml"):
        return _web_archive(data)
    if suffix in ("txt", "text"):
        return decode(data)
    if suffix in ("docx", "dotx", "docm") and depth < 3:
        return read(data, depth=depth + 1).text
    lost.append(f"an inserted file ({suffix or 'missing'})")
    return ""


def _web_archive(data: bytes) -> str:
    """Return the Markdown of a web page that is packed as a mail."""
    body = email.message_from_bytes(data, policy=email.policy.default).get_body(("html", "plain"))
    page = body.get_content() if body is not None else ""
    return html.read(page if isinstance(page, str) else "").text


def _paragraph(text: str) -> Element:
    paragraph = etree.Element(f"{_WORD}p")
    paragraph.append(_run(text))
    return paragraph


def _run(text: str) -> Element:
    run = etree.Element(f"{_WORD}r")
    etree.SubElement(run, f"{_WORD}t").text = text
    return run


def _remove(element: Element) -> None:
    _replace(element, [])


def _replace(element: Element, others: list[Element]) -> None:
    parent = element.getparent()
    if parent is None:
        return
    at = parent.index(element)
    parent[at : at + 1] = others
