"""What holds for the markup of every form, whatever the text: nothing raises, nothing takes long, code stays code."""

# ruff: noqa: E501  # exports have long lines

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from docsim.ingest.forms import prose, site_markup, wikitext
from docsim.ingest.forms.confluence_storage import stored
from docsim.ingest.forms.quoting import own_text
from docsim.ingest.forms.ticket import marked_up

_READERS: dict[str, Callable[[str], object]] = {
    "mail": own_text,
    "markdown": lambda text: site_markup.plain(text, restructured=False),
    "restructured": lambda text: site_markup.plain(text, restructured=True),
    "links": lambda text: site_markup.links(text, "a/b.md", ""),
    "confluence": stored,
    "mediawiki": wikitext.read,
    "jira": marked_up,
}
_PIECES = st.sampled_from(
    ["> ", "On 1 May, A <a@b.c> wrote:\n", "From: A\n", "Sent: B\n", "-- \n", "!!! note\n", "    ", "```\n", ":::tip\n", "=== \"T\"\n",
     ".. note::\n", "   :x: y\n", "<ac:link>", "</ac:link>", "<![CDATA[", "]]>", "<p>", "&nbsp;", "{{", "}}", "[[", "|", "]]", "{|", "|}",
     "'''", "== ", "{code}", "h1. ", "word ", "\n", "\n\n", "é", "`", "\0", "*"]
)  # fmt: skip
_TEXTS = st.one_of(st.text(max_size=200), st.lists(_PIECES, max_size=40).map("".join))


@pytest.mark.properties
@settings(max_examples=examples(40, 1000), deadline=None)
@given(_TEXTS)
def test_any_text_is_read(text: str) -> None:
    for read in _READERS.values():
        read(text)


@pytest.mark.properties
@settings(max_examples=examples(60, 1000), deadline=None)
@given(_TEXTS)
def test_code_is_never_changed(text: str) -> None:
    text = text.replace("\0", "")
    assert prose.changed(text, lambda part: part) == text
    fenced = f"before\n```\n{text.replace('`', '')}\n```\nafter\n"
    assert prose.changed(fenced, str.swapcase) == f"BEFORE\n```\n{text.replace('`', '')}\n```\nAFTER\n"


_LONG = [
    "> a\nb\n",
    "a\n\n",
    ":",
    "On ",
    "From: x\n",
    "!!! note\n    ",
    "<p>",
    "{|\n",
    "[[a|",
    "{code}",
    ".. note::\n",
    "`",
    ":::\n",
    "===",
]


@pytest.mark.parametrize("form", [one for one in _READERS if one != "mediawiki"])
def test_no_text_takes_long(form: str) -> None:
    for piece in _LONG:
        begun = time.process_time()
        _READERS[form](piece * (20_000 // len(piece)))
        assert time.process_time() - begun < 2, piece
