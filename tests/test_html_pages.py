"""HTML pages are read as people see them, in linear time whatever they hold."""

from __future__ import annotations

import time

import pytest

from docsim.ingest.formats import read as read_file
from docsim.ingest.readers.html import read


@pytest.mark.parametrize(
    "page",
    [
        "<main></main><div id=root><p>Content</p></div>",
        "<main><script>x</script></main><p>Content</p>",
        '<div role="main"> &nbsp; </div><article>Content</article>',
        "<main hidden>Loading</main><p>Content</p>",
        "<main></main><main><p>Content</p></main><footer>Imprint</footer>",
    ],
)
def test_a_main_part_without_text_is_none(page: str) -> None:
    assert read(f"<body>{page}</body>").text.replace("Imprint", "").strip() == "Content"


@pytest.mark.parametrize(
    "hidden",
    [
        "<p hidden>Draft</p>",
        '<div style="color:red; display : none">Draft</div>',
        "<span style='visibility:hidden'>Draft</span>",
        "<template><p>Draft</p></template>",
        '<div class="cookie-banner">We use cookies</div>',
        '<div id="onetrust-consent-sdk">We use cookies</div>',
        '<div class="gdpr-notice">We use cookies</div>',
        '<ul class="breadcrumb"><li>Home</ul>',
        '<div class="toc"><ul><li>One</ul></div>',
        '<div role="navigation">Home</div>',
        '<a class="skip-link" href="#m">Skip</a>',
        "<svg><title>Icon</title><text>x</text></svg>",
    ],
)
def test_what_is_hidden_or_on_every_page_is_left_out(hidden: str) -> None:
    assert read(f"<body>{hidden}<p>Content</p>{hidden}</body>").text == "Content"


@pytest.mark.parametrize(
    "shown",
    [
        '<div role="tabpanel" hidden>Content</div>',
        '<div hidden="until-found">Content</div>',
        "<details><summary></summary>Content</details>",
        '<p class="cookie-recipes">Content</p>',
        '<article class="toc">Content</article>',
        '<body style="display:none"><p>Content</p></body>',
        "<body hidden>Content</body>",
        "<nav>Content</nav>",
        '<div style="display:none">Content</div>',
    ],
)
def test_what_a_reader_can_see_or_all_that_there_is_is_text(shown: str) -> None:
    assert read(shown).text == "Content"


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<p>the <b>half</b>bold and <i>a</i> word", "the halfbold and *a* word"),
        ("<p>max_retry_count * 2 # no", "max_retry_count * 2 # no"),
        (
            "<table><tr><th>a<th>b|c<tr><td>1<td><p>two<p>lines</table>",
            "| a | b\\|c |\n| --- | --- |\n| 1 | two lines |",
        ),
        ("<table><tr><td><table><tr><td>in</table><p>out</table>", "| in |\n| --- |\n\nout"),
        ("<pre>a\n  b</pre>", "```\na\n  b\n```"),
        ("<ol><li>one<ul><li>two</ul><li>three</ol>", "1. one\n   * two\n2. three"),
        ("<blockquote><p>a<p>b</blockquote>", "> a\n\n> b"),
        ("<dl><dt>term<dd>meaning</dl>", "term\nmeaning"),
        ("<p>a<br>b<hr>c", "a\nb\n\n---\n\nc"),
        ("<ruby>字<rt>ji</rt></ruby>", "字(ji)"),
        ("<p>x <code>a`b</code> <code>c</code>", "x ``a`b`` `c`"),
        ("<h2>\n Two <b>words</b>\n</h2>", "## Two **words**"),
        ("one<div>two</div>three", "one\n\ntwo\n\nthree"),
        ("a \x00 b", "a \ufffd b"),
    ],
)
def test_elements_read_as_people_read_them(html: str, markdown: str) -> None:
    assert read(html).text == markdown


def test_an_empty_element_of_xhtml_does_not_swallow_the_page() -> None:
    page = '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/>'
    assert read(page + "<script src='x'/></head><body><a id='x'/><p>Content</p></body></html>").text == "Content"


HOSTILE = {
    "opening": "<",
    "links": "<a <a",
    "breaks": "<br>",
    "cdata": "<![CDATA[",
    "comments": "<!--",
    "blanks": " ",
    "ampersands": "&",
    "nested": "<div>",
    "bold": "<b>",
    "lists": "<ul><li>",
    "tables": "<table><tr><td>",
    "quotes": "<blockquote>x",
    "anchors": '<a href="x">y</a> ',
    "mains": "<main>",
    "attributes": '<p a="',
    "scripts": "<script>",
    "formatting": "<b><i>x</b>",
    "front matter": "---\n",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_pages_take_linear_time(kind: str) -> None:
    page = HOSTILE[kind] * (400_000 // len(HOSTILE[kind]))
    start = time.perf_counter()
    read_file(page.encode() + b"<p>end", ".html", "x.html")
    assert time.perf_counter() - start < 12


@pytest.mark.parametrize("tag", ["div", "b", "ul", "main", "table"])
def test_no_text_is_lost_however_deep_it_is(tag: str) -> None:
    assert "deep" in read(f"<{tag}>" * 3000 + "deep" + f"</{tag}>" * 3000).text
