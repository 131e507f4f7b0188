"""HTML becomes Markdown as people read it."""

from __future__ import annotations

import pytest

from docsim.ingest.html_markdown import to_markdown


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<h1>Keys</h1><p>Rotate <b>all</b> keys.</p>", "# Keys\n\nRotate **all** keys."),
        ("<ul><li>one</li><li>two</li></ul>", "* one\n* two"),
        ('<p><img src="a.png" alt="two\nlines"></p>', "![two lines](a.png)"),
        ('<p><img src="a.png" alt="x" title=\'say "hi"\'></p>', '![x](a.png "say \\"hi\\"")'),
        ('<h2>See <img src="a.png" alt="x"></h2>', "## See ![x](a.png)"),
        ('<img src="data:image/png;base64,AAAA" alt="x">', "![x](data:image/png;base64...)"),
        ('<img src="data:image/gif;base64,AAAA" data-src="b.png" alt="x">', "![x](b.png)"),
        ('<input type="checkbox" checked> done <input type="checkbox"> open', "[x]  done [ ]  open"),
        ('<p>name: <input type="text" value="x"></p>', "name:"),
        ("<p>a <u> b </u> c <u></u></p>", "a  <u>b</u>  c"),
        ("<p><strike>old</strike> new</p>", "~~old~~ new"),
        ("<script>alert(1)</script><style>p {}</style><p>text</p>", "text"),
        ("<head><title>T</title></head><body><p>text</p></body>", "text"),
        ("", ""),
    ],
)
def test_elements_are_converted(html: str, markdown: str) -> None:
    assert to_markdown(html) == markdown


def test_what_is_nested_too_deeply_keeps_its_words() -> None:
    assert to_markdown("<div>" * 5000 + "deep <b>down</b>") == "deep\ndown"
