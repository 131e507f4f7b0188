"""HTML becomes Markdown as people read it."""

from __future__ import annotations

import pytest

from docsim.ingest.readers.html import read


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<h1>Keys</h1><p>Rotate <b>all</b> keys.</p>", "# Keys\n\nRotate **all** keys."),
        ("<ul><li>one</li><li>two</li></ul>", "* one\n* two"),
        ('<p><img src="a.png" alt="two\nlines"></p>', "two lines"),
        ('<p><img src="a.png" alt="x" title=\'say "hi"\'></p>', "x"),
        ('<h2>See <img src="a.png" alt="x"></h2>', "## See x"),
        ('<img src="data:image/png;base64,AAAA" alt="x">', "x"),
        ('<img src="data:image/gif;base64,AAAA" data-src="b.png" alt="x">', "x"),
        ('<input type="checkbox" checked> done <input type="checkbox"> open', "[x] done [ ] open"),
        ('<p>name: <input type="text" value="x"></p>', "name:"),
        ("<p>a <u> b </u> c <u></u></p>", "a b c"),
        ("<p><strike>old</strike> new</p>", "~~old~~ new"),
        ("<script>alert(1)</script><style>p {}</style><p>text</p>", "text"),
        ("<head><title>T</title></head><body><p>text</p></body>", "text"),
        ("", ""),
    ],
)
def test_elements_are_converted(html: str, markdown: str) -> None:
    assert read(html).text == markdown


def test_what_is_nested_too_deeply_keeps_its_words() -> None:
    assert read("<div>" * 5000 + "deep <b>down</b>").text.split() == ["deep", "down"]
