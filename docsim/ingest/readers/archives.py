"""ZIP archives, which Office and EPUB files are: checked before they are unpacked, and their parts as XML."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias

from lxml import etree

from docsim.errors import SourceError

__all__ = [
    "RATIO_EXEMPT",
    "RATIO_LIMIT",
    "RELATION",
    "UNPACKED_LIMIT",
    "Element",
    "keep_relations",
    "main_part",
    "missing",
    "name_once",
    "packed",
    "parsed",
    "relation_ids",
    "relations",
    "resolved",
    "unpacked",
    "without",
]

Element: TypeAlias = etree._Element

UNPACKED_LIMIT = 500_000_000
"""The largest size of an Office or EPUB file after unpacking, in bytes."""

RATIO_LIMIT = 200
"""How many times larger than the file its unpacked content may be, if that is more than ``RATIO_EXEMPT`` bytes."""

RATIO_EXEMPT = 50_000_000
"""The unpacked size, in bytes, up to which the ratio does not matter."""

_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
_MEDIA = re.compile(r"(?:^|/)(?:media|fonts|embeddings)/|\.(?:png|jpe?g|gif|ttf|otf|woff2?|mp[34])$", re.IGNORECASE)
_NEAR = 2_000  # letters and digits
_MOST_SEARCHED = 2_000_000_000  # letters and digits, which takes some two seconds
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
"""The attribute by which an element names a relation of its part."""

_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/([\w/]+)")


def unpacked(data: bytes) -> dict[str, bytes]:
    """Return the parts of an archive by name, after checking that it is safe to unpack.

    The sizes in the archive's directory may be wrong; a part that is longer than stated fails its checksum. Strict
    Open XML becomes the usual kind, which libraries read.

    Raises:
        SourceError: It is encrypted, of an old format, or would unpack to too much.
        zipfile.BadZipFile: It is damaged, or no archive.
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
        if any(part.flag_bits & 1 for part in parts):
            raise SourceError("the file is protected by a password")
        found = {part.filename: _read(archive, part) for part in parts if not part.is_dir()}
    return {name: _transitional(part) if name.endswith((".xml", ".rels")) else part for name, part in found.items()}


def _read(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bytes:
    """Return a part, whose checksum is compared; nothing of pictures, sounds and fonts, which hold no text."""
    with archive.open(part) as stream:
        if not _MEDIA.search(part.filename):
            return stream.read()
        while stream.read(1_000_000):
            pass
    return b""


def packed(parts: Mapping[str, bytes]) -> io.BytesIO:
    """Return parts as an archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    stream.seek(0)
    return stream


def parsed(part: bytes) -> Element:
    """Parse a part as XML; entities that it defines are not expanded.

    Raises:
        lxml.etree.XMLSyntaxError: It is not XML.
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True, load_dtd=False
    )
    return etree.fromstring(part, parser)


def relations(parts: Mapping[str, bytes], name: str) -> dict[str, tuple[str, str]]:
    """Return what a part refers to: by the id of each relation, the last word of its type and the name of the part."""
    listed, folder = parts.get(_relations_part(name)), name.rpartition("/")[0]
    found = parsed(listed) if listed else ()
    return {
        one.get("Id", ""): (one.get("Type", "").rpartition("/")[2], resolved(folder, one.get("Target", "")))
        for one in found
        if one.get("TargetMode") != "External"
    }


def keep_relations(parts: dict[str, bytes], name: str, kept: Collection[str]) -> None:
    """Have a part refer to other parts of the file by some of its relations only, named by their ids."""
    if listed := parts.get(_relations_part(name)):
        tree = parsed(listed)
        gone = [one for one in tree if one.get("TargetMode") != "External" and one.get("Id", "") not in kept]
        if gone:
            parts[_relations_part(name)] = without(tree, gone)


def _relations_part(name: str) -> str:
    """Return the name of the part that lists the relations of another one."""
    folder, _, file = name.rpartition("/")
    return f"{folder}/_rels/{file}.rels" if folder else f"_rels/{file}.rels"


def main_part(parts: Mapping[str, bytes], usual: str) -> str:
    """Return the name of the part that an Office file begins with."""
    return next((name for kind, name in relations(parts, "").values() if kind == "officeDocument"), usual)


def name_once(parts: dict[str, bytes], main: str, tag: str) -> None:
    """Have the main part of a file name every other part once, at its first place.

    Libraries read a part each time that it is named, so a small file could give text without an end.

    Args:
        parts: The parts of the file, of which the main one is changed, if it names a part again.
        main: The name of the main part.
        tag: The elements that name a part by the id of a relation.
    """
    tree, related = parsed(parts[main]), relations(parts, main)
    seen, again = set[str](), list[Element]()
    for one in tree.iter(f"{{*}}{tag}"):
        name = related.get(one.get(RELATION, ""), ("", ""))[1]
        if name in seen:
            again.append(one)
        elif name:
            seen.add(name)
    if again:
        parts[main] = without(tree, again)


def without(tree: Element, elements: Iterable[Element]) -> bytes:
    """Return a part without some elements of its tree."""
    for one in elements:
        if (parent := one.getparent()) is not None:
            parent.remove(one)
    return bytes(etree.tostring(tree, xml_declaration=True, encoding="UTF-8"))


def relation_ids(parts: Mapping[str, bytes], name: str) -> frozenset[str]:
    """Return the ids of all relations of a part, also to what is not in the file."""
    listed = parts.get(_relations_part(name))
    return frozenset(one.get("Id", "") for one in (parsed(listed) if listed else ()))


def resolved(folder: str, target: str) -> str:
    if target.startswith("/"):
        return target[1:]
    steps: list[str] = folder.split("/") if folder else []
    for step in target.split("/"):
        if step == "..":
            steps = steps[:-1]
        elif step not in ("", "."):
            steps.append(step)
    return "/".join(steps)


def _transitional(part: bytes) -> bytes:
    """Return XML of the strict kind with the namespaces of the usual one."""
    return _STRICT.sub(_namespace, part) if b"purl.oclc.org/ooxml" in part else part


def _namespace(match: re.Match[bytes]) -> bytes:
    first, *rest = match[1].split(b"/")
    base = b"http://schemas.openxmlformats.org/" + first + b"/2006"
    return b"/".join([base, *rest])


def missing(paragraphs: Iterable[str], text: str) -> list[str]:
    """Return the paragraphs that a text lacks, compared by their letters and digits, each once.

    Most stand in the text in their order, so each is looked for behind the one before it first. Where that fails very
    often, the whole text is not searched any longer, and a paragraph that stands elsewhere counts as missing.
    """
    have, at = _essence(text), 0
    left = _MOST_SEARCHED // (len(have) + 1)
    found = list[str]()
    for one in dict.fromkeys(paragraph for one in paragraphs if (paragraph := " ".join(one.split()))):
        essence = _essence(one)
        place = have.find(essence, at, at + len(essence) + _NEAR)  # Python looks at all of what it may search
        if place < 0 and left:
            place, left = have.find(essence), left - 1
        if place >= 0:
            at = place + len(essence)
        else:
            found.append(one)
    return found


def _essence(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()
