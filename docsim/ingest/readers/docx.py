"""Word: the XML is put into a shape that mammoth reads whole, and mammoth makes HTML of it.

mammoth leaves out what it does not know: moved text, fields, ruby, content controls, custom XML, text boxes, inserted
files, headers and footers. So these are unwrapped or moved to where it finds them. At the end every paragraph of the
file is looked up in the result, and one that is not there is added.

Tables come out of mammoth as HTML, merged cells as ``colspan`` and ``rowspan``; ``html_markdown`` and ``html_tables``
make Markdown of them, as of the tables of web pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from lxml import etree

from docsim.ingest import mail_headers
from docsim.ingest.content import FileContent, first_line, one_line, tidy, titled
from docsim.ingest.encodings import decode
from docsim.ingest.markup import markdown
from docsim.ingest.readers import archives, html
from docsim.ingest.readers.archives import Element
from docsim.ingest.readers.docx_numbers import write_numbers
from docsim.ingest.readers.html_markdown import to_markdown
from docsim.ingest.readers.office import paragraphs, property_title, unread

__all__ = ["read"]

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_RELATIONS = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_RELATION = f"{_RELATIONS}id"
_REFERRING = ("{*}hyperlink", "{*}blip", "{*}imagedata")
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
    "rubyBase",
}
_MARK = re.compile(r"docsimchunk(\d{1,6})x")
_DEEPEST = 3
_MAIN = "word/document.xml"
_BODIES = ("footnotes", "endnotes", "comments")
_PARTS = ("header", "footer", "footnotes", "endnotes", "comments", "diagramData", "chart")


def read(data: bytes, *, depth: int = 0) -> FileContent:
    """Read a Word file as Markdown; its headers, footers and comments come last."""
    parts = archives.unpacked(data)
    main = archives.main_part(parts, _MAIN)
    related = archives.relations(parts, main)
    inserted = _Inserted(parts, {id: name for id, (_, name) in related.items()}, depth)
    trees = _prepared(parts, [main, *(name for kind, name in related.values() if kind in _BODIES)], inserted)
    _number(parts, trees[main], main, dict(related.values()))
    text = _converted(parts)
    content = markdown(text)
    title = content.title or property_title(parts) or first_line(content.text)
    text = inserted.put_into(text)
    others = dict.fromkeys(name for kind, name in related.values() if kind in _PARTS and name in parts)
    found = [trees[name] if name in trees else archives.parsed(parts[name]) for name in others]
    added = archives.missing([line for tree in (trees[main], *found) for line in paragraphs(tree)], text)
    whole = "\n\n".join([text, *(one for one in added if not _MARK.match(one))])
    return titled(FileContent(tidy(whole), lost=(*inserted.lost, *unread(parts))), one_line(title))


def _prepared(parts: dict[str, bytes], bodies: Sequence[str], inserted: _Inserted) -> dict[str, Element]:
    """Change the parts that hold text, and the styles, into what mammoth reads whole; return the former by name."""
    trees = {name: archives.parsed(parts[name]) for name in dict.fromkeys(bodies) if name in parts}
    notes = {kind: _ids(trees.values(), kind) for kind in ("footnote", "endnote")}
    for name, tree in trees.items():
        _unwrap(tree, inserted.mark)
        _forget_missing(tree, archives.relation_ids(parts, name))
        _name_notes_once(tree, notes)
        parts[name] = etree.tostring(tree, xml_declaration=True, encoding="UTF-8")
    if styles := parts.get("word/styles.xml"):
        tree = archives.parsed(styles)
        for style in list(tree.iter(f"{_WORD}style")):
            if f"{_WORD}styleId" not in style.attrib:
                _remove(style)
            elif f"{_WORD}type" not in style.attrib:
                style.set(f"{_WORD}type", "paragraph")
        parts["word/styles.xml"] = etree.tostring(tree, xml_declaration=True, encoding="UTF-8")
    return trees


def _number(parts: dict[str, bytes], document: Element, main: str, named: Mapping[str, str]) -> None:
    """Write the numbers that Word counts into the paragraphs of the main part."""
    if (name := named.get("numbering", "")) in parts:
        numbering, styles = archives.parsed(parts[name]), parts.get(named.get("styles", ""))
        write_numbers(document, numbering, archives.parsed(styles) if styles else None)
        for part, tree in ((name, numbering), (main, document)):
            parts[part] = etree.tostring(tree, xml_declaration=True, encoding="UTF-8")


def _converted(parts: dict[str, bytes]) -> str:
    import mammoth

    stream = archives.packed(parts)
    if any(b"oMath" in part for name, part in parts.items() if name.endswith(".xml")):
        from markitdown.converter_utils.docx.pre_process import pre_process_docx  # takes a second, and half of reading

        stream = pre_process_docx(stream)  # formulas become LaTeX
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
        elif name == "dstrike":
            element.tag = f"{_WORD}strike"
        elif name == "altChunk":
            _replace(element, [_paragraph(chunk(element.get(_RELATION, "")))])
        elif name == "rt":
            _replace(element, [_run("("), *element, _run(")")])
        elif name == "ruby":  # how to read a text stands before it
            _replace(element, sorted(element, key=lambda one: one.tag != f"{_WORD}rubyBase"))
        elif name in _UNWRAPPED:
            _replace(element, list(element))


def _forget_missing(tree: Element, relations: Collection[str]) -> None:
    """Unwrap links and pictures that refer to what the file does not have."""
    for element in list(tree.iter(*_REFERRING)):
        ids = [element.get(f"{_RELATIONS}{one}") for one in ("id", "embed", "link")]
        if any(id is not None and id not in relations for id in ids):
            _replace(element, list(element))


def _ids(trees: Iterable[Element], kind: str) -> set[str]:
    return {note.get(f"{_WORD}id", "") for one in trees for note in one.iter(f"{_WORD}{kind}")}


def _name_notes_once(tree: Element, notes: Mapping[str, set[str]]) -> None:
    """Remove marks of notes that the file does not have, and all but the first of each: mammoth repeats notes.

    Args:
        tree: The part, which is changed.
        notes: The ids of notes that no mark was found of, by kind; those that are found here are taken out.
    """
    for kind, unnamed in notes.items():
        for element in list(tree.iter(f"{_WORD}{kind}Reference")):
            if (id := element.get(f"{_WORD}id", "")) in unnamed:
                unnamed.remove(id)
            else:
                _remove(element)


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


class _Inserted:
    """The files that were inserted as a whole (altChunk): a mark stands for each until the rest is converted.

    Attributes:
        lost: The inserted files that cannot be read, a phrase each.
    """

    def __init__(self, parts: dict[str, bytes], names: Mapping[str, str], depth: int) -> None:
        self._parts, self._names, self._depth = parts, names, depth
        self._texts: list[str] = []
        self._placed = set[str]()
        self.lost: list[str] = []

    def mark(self, relation: str) -> str:
        """Return the mark for an inserted file, given the id of its relation; empty for one that has a place."""
        name = self._names.get(relation, "")
        if name and name in self._placed:
            return ""
        self._placed.add(name)
        self._texts.append(self._read(name))
        return f"docsimchunk{len(self._texts) - 1}x"

    def put_into(self, text: str) -> str:
        """Return a text with the Markdown of the inserted files in the place of their marks."""
        return _MARK.sub(lambda match: self._texts[int(match[1])] if int(match[1]) < len(self._texts) else "", text)

    def _read(self, name: str) -> str:
        data, suffix = self._parts.get(name, b""), name.rpartition(".")[2].lower()
        if suffix in ("htm", "html", "xhtml"):
            return html.read(decode(data, declared=html.declared_encoding(data))).text
        if suffix in ("mht", "mhtml"):
            return _web_archive(data)
        if suffix in ("txt", "text"):
            return decode(data)
        if suffix in ("docx", "dotx", "docm") and self._depth < _DEEPEST:
            return read(data, depth=self._depth + 1).text
        self.lost.append(f"an inserted file ({suffix or 'missing'})")
        return ""


def _web_archive(data: bytes) -> str:
    """Return the Markdown of a web page that is packed as a mail."""
    body = mail_headers.parsed(data).get_body(("html", "plain"))
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
    for other in others:
        element.addprevious(other)
    parent.remove(element)
