"""MediaWiki: XML dumps, perhaps packed with gzip or bzip2, as ``dumpBackup.php`` and Special:Export make them.

The newest revision of each page is a document; redirects become other titles of their targets, and talk pages, files,
templates and other pages of the system are left out. The markup is parsed by mwparserfromhell. The XML is read by lxml:
mwxml, a library for it, needs five more packages and reads not much more than a loop over elements does.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, cast

from docsim import extras
from docsim.errors import MissingExtra, SourceError
from docsim.ingest import conversion_pool, encodings
from docsim.ingest.conversion_pool import Conversion
from docsim.ingest.forms import apart, page
from docsim.ingest.forms.xml_stream import elements
from docsim.ingest.trees.archive import RATIO, UNPACKED_EXEMPT
from docsim.ingest.trees.tree import Single, Tree
from docsim.models import Document, Failure, Item, LeftOut

__all__ = ["documents", "recognise"]

_NAME = re.compile(r"\.xml(?:\.gz|\.bz2)?\Z", re.IGNORECASE)
_READ = {0, 4, 12, 14}  # articles, pages about the project, help and categories; talk pages have odd numbers
_OWN = 100  # namespaces from here on are the wiki's own
_REDIRECT = re.compile(r"#[^\s\[]{4,20}\s*:?\s*\[\[([^\]|#]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Page:
    """A page with its newest revision."""

    title: str
    namespace: int
    redirect: str
    text: str
    author: str
    created: str
    updated: str


def recognise(tree: Tree) -> bool:
    """Return whether a file is a dump, or a folder or archive holds nothing but dumps."""
    names = [name for name in tree.glance() if not name.endswith("/")]
    dumps = [name for name in names if _NAME.search(name)]
    if not dumps or (not isinstance(tree, Single) and len(dumps) < len(names)):
        return False
    with contextlib.suppress(EOFError, OSError), tree.open(dumps[0]) as stream:
        return b"<mediawiki" in _unpacked(dumps[0], stream).read(encodings.SNIFFED)
    return False


def documents(tree: Tree) -> Iterator[Item]:
    """Yield the pages of all dumps.

    Raises:
        SourceError: The extra ``files`` is not installed, or a dump is damaged or cut short.
    """
    try:
        extras.require("files", "reading a dump of MediaWiki")
    except MissingExtra as error:
        raise SourceError(str(error)) from error
    dumps = [name for name in tree.files if _NAME.search(name)]
    for one, found in apart.in_order(_works(tree, dumps)):
        yield Failure(one, str(found)) if isinstance(found, SourceError) else found


def _works(tree: Tree, dumps: list[str]) -> Iterator[tuple[str, Callable[[], Document | LeftOut]]]:
    """Yield the title of each page of all dumps, and what makes it a document."""
    aliases = _aliases(tree, dumps)
    for path in dumps:
        names = dict[int, str]()
        for one, base in _pages(tree, path, names):
            if one.redirect:
                continue
            space = names.get(one.namespace, "")
            if one.namespace not in _READ and not (one.namespace >= _OWN and one.namespace % 2 == 0):
                left_out = LeftOut(one.title, f"{space if one.namespace in names else 'other'} page")
                yield one.title, apart.Done(left_out)
            else:
                yield one.title, partial(_document, one, base, space, aliases.get(one.title, []), tree.how)


def _aliases(tree: Tree, dumps: list[str]) -> dict[str, list[str]]:
    """Return the titles of redirects to each page."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in dumps:
        for one, _ in _pages(tree, path, {}):
            if one.redirect:
                found[one.redirect].append(one.title)
    return found


def _pages(tree: Tree, path: str, names: dict[int, str]) -> Iterator[tuple[_Page, str]]:
    """Yield every page of a dump, with the address of the wiki; the names of namespaces are put into ``names``."""
    base, most = "", max(UNPACKED_EXEMPT, RATIO * tree.place.stat().st_size)
    with tree.open(path) as raw:
        for element in elements(_unpacked(path, raw), "mediawiki", "base", "namespace", "page", most=most):
            tag = _tag(element)
            if tag == "base":
                base = (element.text or "").strip()
            elif tag == "namespace":
                names[int(element.get("key", "0"))] = element.text or ""
            else:
                yield _page(element), base


def _unpacked(path: str, stream: IO[bytes]) -> IO[bytes]:
    if path.lower().endswith(".gz"):
        return cast("IO[bytes]", gzip.open(stream))
    return cast("IO[bytes]", bz2.open(stream)) if path.lower().endswith(".bz2") else stream


def _tag(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _page(element: Any) -> _Page:
    """Return a page; of several revisions the newest, whose dates are in ISO 8601."""
    fields = {_tag(one): one for one in element if _tag(one) != "revision"}
    revisions = [{_tag(one): one for one in revision} for revision in element if _tag(revision) == "revision"]
    revisions.sort(key=lambda one: _text(one.get("timestamp")))
    newest = revisions[-1] if revisions else {}
    oldest = revisions[0] if len(revisions) > 1 else {}
    text = _text(newest.get("text"))
    redirect = fields["redirect"].get("title", "") if "redirect" in fields else ""
    written = _REDIRECT.match(text.lstrip()) if not redirect and text.lstrip().startswith("#") else None
    writer = (oldest or newest).get("contributor")
    names = [_text(one) for one in writer if _tag(one) in ("username", "ip")] if writer is not None else []
    number = _text(fields.get("ns"))
    return _Page(
        title=_text(fields.get("title")),
        namespace=int(number) if number.lstrip("-").isdigit() else 0,
        redirect=redirect or (written[1].strip() if written else ""),
        text=text,
        author=next(filter(None, names), ""),
        created=_text(oldest.get("timestamp")),
        updated=_text(newest.get("timestamp")),
    )


def _text(element: Any) -> str:
    return str(element.text or "") if element is not None else ""


def _document(one: _Page, base: str, space: str, aliases: list[str], how: Conversion) -> Document:
    read = conversion_pool.parse(one.text.encode("utf-8", "surrogatepass"), "wikitext", how=how)
    address = f"{base.rpartition('/')[0]}/{one.title.replace(' ', '_')}" if base else ""
    return page.page(
        one.title,
        page.aliased(read.text, sorted(aliases)),
        one.title,
        url=address,
        author=one.author,
        created=one.created,
        updated=one.updated,
        labels=read.metadata["categories"],
        links=read.metadata["links"],
        aliases=sorted(aliases),
        namespace=space,
    )
