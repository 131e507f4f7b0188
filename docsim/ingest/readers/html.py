"""HTML pages: their title, and their content as Markdown without what the page says on every page.

Left out are scripts and styles, navigation, tables of contents, cookie banners and elements that are hidden. lxml
parses pages, because Python's own parser takes quadratic time for some of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from docsim.ingest.content import FileContent, one_line, tidy
from docsim.ingest.readers import html_stream
from docsim.ingest.readers.html_markdown import Element, to_markdown, written

__all__ = ["declared_encoding", "read", "tree"]

_META = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)|\A\s*<\?xml[^>]{0,100}encoding\s*=\s*[\"']([^\"']{1,40})",
    re.IGNORECASE,
)
_COMMENT = re.compile(rb"<!--.*?-->|<script\b.*?</script", re.IGNORECASE | re.DOTALL)
_DROPPED = frozenset({"script", "style", "noscript", "template", "svg", "nav", "rp", "head", "object", "iframe"})
_ROLES = frozenset({"navigation", "search", "doc-toc"})
_CHROME = re.compile(
    r"\b(?:headerlink|anchor-link|hash-link|toc|table-of-contents|breadcrumbs?|skip-?link|skip-to-content|sphinxsidebar"
    r"|sr-only|visually-hidden|(?:cookie|consent|gdpr|cc|privacy)[-_]{0,2}(?:banner|bar|notice|popup|modal|overlay"
    r"|message|consent|dialog|window)|onetrust-[\w-]+|cybotcookiebot\w*|copy-?(?:btn|button)|edit-this-page)(?![\w-])",
    re.IGNORECASE,
)
_INVISIBLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)
_TAG = re.compile(r"<(?:!--.*?-->|script\b.*?</script[^<>]*>|style\b.*?</style[^<>]*>|[/!?a-zA-Z][^<>]*>)", re.I | re.S)
_EMPTY = re.compile(r"<(title|script|style|a|p|div|span|i|b|em|td|th|li|iframe|textarea|section)\b([^<>]{0,1000})/>")
_BOGUS = re.compile(r"(?:untitled(?: document| page)?|new page \d+|index|home|document)$", re.IGNORECASE)
_WORD = re.compile(r"\w")
_LARGE = 1_000_000  # characters of a page of which no tree is made


def declared_encoding(data: bytes) -> str:
    """Return the encoding that a page declares in its first 2,048 bytes, outside of scripts and comments."""
    match = _META.search(_COMMENT.sub(b"", data[:2048]))
    return (match[1] or match[2]).decode("ascii", "replace") if match else ""


def read(text: str) -> FileContent:
    """Convert a page to Markdown. If it marks its main part (``<main>`` or ``role="main"``), only that is converted."""
    if len(text) > _LARGE and not html_stream.is_crowded(closed := _closed(text)):
        try:
            return _read_large(closed)
        except html_stream.Unusual:
            pass
    page = tree(text)
    if page is None:
        return FileContent(tidy(_TAG.sub("\n", text)))
    titles = [one_line("".join(one.itertext())) for one in page.iter("title") if not _is_within(one, "svg")]
    title = next(filter(None, titles), "")
    first = next(page.iter("h1"), None)
    heading = to_markdown(first, skipped=_is_left_out) if first is not None else ""
    body = next(page.iter("body"), page)
    content = next(filter(_WORD.search, _contents(body)), "")
    return FileContent(tidy(content), _named(title, heading))


def _read_large(text: str) -> FileContent:
    """Convert a page piece by piece, so that less memory is needed than for its tree.

    Raises:
        html_stream.Unusual: It has to be read as a whole.
    """
    found = html_stream.facts(text, skipped=_is_left_out, is_main=lambda one: _is_main(one) and not _is_hidden(one))
    wanted = [*((number, _is_left_out) for number in (*found.mains, found.body)), (found.body, _is_never_text)]
    for number, skipped in wanted:
        tables = set[Element]()
        content = written(html_stream.part(text, number, found.layout, tables), skipped=skipped, layout=tables)
        if _WORD.search(content):
            return FileContent(tidy(content), _named(found.title, found.heading))
    raise html_stream.Unusual


def _named(title: str, heading: str) -> str:
    """Return what a page is called, given its title and its first heading as Markdown."""
    heading = one_line(heading.lstrip("# "))
    named = heading if heading and (title.startswith(heading) or _BOGUS.match(title)) else title
    return "" if _BOGUS.match(named) else named


def _closed(text: str) -> str:
    """Return a page of XHTML with an end for each empty element, as a parser of HTML wants it."""
    return _EMPTY.sub(r"<\1\2></\1>", text) if "xmlns=" in text[:2000] else text


def tree(text: str) -> Element | None:
    """Parse a page; None where text would be lost, as it is nested too deeply, or where attributes take too long."""
    closed = _closed(text)
    if html_stream.is_crowded(closed):
        return None
    parser = etree.HTMLParser(**html_stream.options())
    source = closed.replace("\0", "\ufffd").encode("utf-8", "replace")
    page = etree.fromstring(source or b"<html/>", parser)
    if any(error.type_name == "ERR_RESOURCE_LIMIT" or "depth" in error.message for error in parser.error_log):
        return None
    return page if page is not None else etree.fromstring(b"<html><body/></html>", parser)


def _contents(body: Element) -> Iterator[str]:
    """Yield what may be the content, the best first: the main part, the page, the page with what was left out."""
    for main in filter(_is_main, list(body.iter())):
        if not _is_hidden(main):
            yield to_markdown(main, skipped=_is_left_out)
    yield to_markdown(body, skipped=_is_left_out)
    yield to_markdown(body, skipped=_is_never_text)


def _is_main(element: Element) -> bool:
    return "main" in (element.tag, element.get("role"))


def _is_never_text(element: Element) -> bool:
    return element.tag in ("script", "style", "head", "template")


def _is_left_out(element: Element) -> bool:
    if element.tag in _DROPPED or element.get("role") in _ROLES or _is_hidden(element):
        return True
    if element.tag in ("body", "main", "article"):
        return False
    names = f"{element.get('class', '')} {element.get('id', '')}"
    return len(names) > 1 and bool(_CHROME.search(names))


def _is_hidden(element: Element) -> bool:
    """Return whether an element is never shown. Tabs are, when a reader chooses them."""
    if element.tag in ("body", "html") or element.get("role") == "tabpanel":
        return False
    hidden = element.get("hidden")
    return (hidden is not None and hidden != "until-found") or bool(_INVISIBLE.search(element.get("style", "")))


def _is_within(element: Element, tag: str) -> bool:
    return next(element.iterancestors(tag), None) is not None
