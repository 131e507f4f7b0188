"""EPUB: the chapters in the order of reading, as HTML pages; author, language and date become metadata."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Mapping

from docsim.errors import SourceError
from docsim.ingest.content import FileContent, one_line
from docsim.ingest.encodings import decode
from docsim.ingest.readers import archives, html
from docsim.ingest.readers.archives import Element

__all__ = ["read"]

_FONTS_ONLY = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_FIELDS = {"creator": "author", "language": "language", "date": "published", "publisher": "publisher"}
_PAGES = (".xhtml", ".html", ".htm", ".xml")


def read(data: bytes) -> FileContent:
    """Read an EPUB file as Markdown.

    Raises:
        SourceError: It is encrypted.
    """
    parts = archives.unpacked(data)
    _refuse_encrypted(parts)
    container = archives.parsed(parts["META-INF/container.xml"])
    name = next(one.get("full-path", "") for one in container.iter("{*}rootfile"))
    package = archives.parsed(parts[name])
    read_pages = [
        html.read(decode(page, declared=html.declared_encoding(page))).text for page in _pages(parts, package, name)
    ]
    title, metadata = _described(package)
    return FileContent("\n\n".join(filter(None, read_pages)), title, metadata)


def _refuse_encrypted(parts: Mapping[str, bytes]) -> None:
    listed = parts.get("META-INF/encryption.xml")
    for one in archives.parsed(listed).iter("{*}EncryptedData") if listed else ():
        method = one.find("{*}EncryptionMethod")
        if method is None or method.get("Algorithm") not in _FONTS_ONLY:
            raise SourceError("the EPUB is protected (DRM): its text is encrypted")


def _pages(parts: Mapping[str, bytes], package: Element, name: str) -> Iterator[bytes]:
    """Yield the chapters, each once, at its first place; the table of contents is none."""
    folder = name.rpartition("/")[0]
    items = {one.get("id", ""): one for one in package.iter("{*}item")}
    spine = [items[one.get("idref", "")] for one in package.iter("{*}itemref") if one.get("idref", "") in items]
    seen = set[str]()
    for item in spine or items.values():
        path = archives.resolved(folder, urllib.parse.unquote(item.get("href", "")))
        is_contents = "nav" in item.get("properties", "").split() and len(spine) > 1
        if path in seen or path not in parts or is_contents:
            continue
        if spine or path.lower().endswith(_PAGES):
            seen.add(path)
            yield parts[path]


def _described(package: Element) -> tuple[str, dict[str, str]]:
    found: dict[str, str] = {}
    title = ""
    for one in package.iter("{http://purl.org/dc/elements/1.1/}*"):
        name, value = str(one.tag).rpartition("}")[2], one_line("".join(one.itertext()))
        if name == "title":
            title = title or value
        elif name in _FIELDS and value:
            known = found.get(_FIELDS[name])
            found[_FIELDS[name]] = f"{known}, {value}" if known and name == "creator" else known or value
    return title, found
