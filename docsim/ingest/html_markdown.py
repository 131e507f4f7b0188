"""HTML as Markdown, by markdownify; imported when the first page comes.

Images become ``![alternative text](address)`` wherever they stand, without the bytes of ``data:`` addresses; check
boxes become ``[x]`` and ``[ ]``; underlined text keeps its tags, since Markdown has no mark for it.
"""

from __future__ import annotations

from bs4 import BeautifulSoup, Tag
from markdownify import ATX, MarkdownConverter, chomp

__all__ = ["to_markdown"]


def to_markdown(html: str) -> str:
    """Convert HTML to Markdown; of a page that is nested too deeply for that, return the text alone.

    Args:
        html: A page, or a part of one. Scripts and styles in it are left out, and all outside its ``body``.
    """
    page = BeautifulSoup(html, "html.parser")
    for element in page(["script", "style"]):
        element.extract()
    body = page.body or page
    try:
        text: str = _Converter(heading_style=ATX).convert_soup(body)
    except RecursionError:
        text = body.get_text("\n", strip=True)
    return text.strip()


class _Converter(MarkdownConverter):  # type: ignore[misc]  # markdownify has no types
    """What markdownify does, but for the elements of the module's docstring; each method converts one element.

    Every method takes the element, the Markdown of what is in it, and the names of the elements around it.
    """

    def convert_img(self, element: Tag, text: str, parent_tags: set[str]) -> str:
        alternative, source, later, title = (
            str(element.get(name) or "") for name in ("alt", "src", "data-src", "title")
        )
        embedded = source[:5].lower() == "data:"
        if later and (not source or embedded):
            source, embedded = later, later[:5].lower() == "data:"
        if embedded:
            source = source.split(",")[0] + "..."
        named = ' "{}"'.format(title.replace('"', '\\"')) if title else ""
        line = alternative.replace("\n", " ")
        return f"![{line}]({source}{named})"

    def convert_input(self, element: Tag, text: str, parent_tags: set[str]) -> str:
        if element.get("type") != "checkbox":
            return ""
        return "[x] " if element.has_attr("checked") else "[ ] "

    def convert_u(self, element: Tag, text: str, parent_tags: set[str]) -> str:
        before, after, inner = chomp(text)
        return f"{before}<u>{inner}</u>{after}" if inner else text

    def convert_strike(self, element: Tag, text: str, parent_tags: set[str]) -> str:
        struck: str = self.convert_s(element, text, parent_tags)
        return struck
