"""Large pages are read piece by piece, and say what they would say if they were read as a whole."""

from __future__ import annotations

import pytest
from effort import examples
from hostile_files import seeds
from hypothesis import given, settings
from hypothesis import strategies as st

from docsim.ingest.content import FileContent
from docsim.ingest.readers import html, html_stream

PIECES = """
<p>|</p>|<div>|</div>|<b>|</b>|<main>|</main>|<p role="main">|<p role=navigation>|<nav>|</nav>|<table>|</table>|<tr>
<td>|<td colspan=2>|</td>|<h1>|</h1>|<h2>|<title>|</title>|<svg>|</svg>|<body>|<body role=navigation>|</body>|</html>
<html hidden>|<head>|</head>|<ul>|<li>|</ul>|<ol>|<br>|<pre>|</pre>|<script>|</script>|<style>|<!--|-->|<div hidden>
<template>|word|and more words|&amp;|&#0;|&lt;b|\0|\n|  |<a href='x'>|</a>|<code>|</code>|<select><option>|<textarea>
<frameset>|\xe9|\u6f22\u5b57
"""
page = st.lists(st.sampled_from(PIECES.replace("\n", "|").split("|")), max_size=40).map("".join)


def in_pieces(text: str, monkeypatch: pytest.MonkeyPatch, size: int) -> FileContent:
    with monkeypatch.context() as patch:
        patch.setattr(html, "_LARGE", -1)
        patch.setattr(html_stream, "_PIECE", size)
        return html.read(text)


def is_read_so(text: str) -> bool:
    try:
        html._read_large(text)
    except html_stream.Unusual:
        return False
    return True


@settings(max_examples=examples(300, 5_000), deadline=None)
@given(text=page, size=st.sampled_from([1, 7, 1_000]))
def test_a_page_says_the_same_in_pieces(text: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        assert in_pieces(text, patch, size) == html.read(text)


@pytest.mark.parametrize("seed", seeds(".html"))
def test_hostile_pages_say_the_same_in_pieces(seed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    text = seed.decode("utf-8", "replace")
    assert in_pieces(text, monkeypatch, 5) == html.read(text)


@pytest.mark.parametrize(
    "body",
    [
        "<h1>Soup</h1><p>Boil the <b>lentils</b>.</p>",
        "<nav>Home</nav><main><p>Boil</p></main><p>Imprint</p>",
        "<main></main><div role='main'>Boil</div>",
        "<table><tr><td><table><tr><th>a</th></tr><tr><td>1</td></tr></table></td><td>b</td></tr></table>",
        "<script>only this</script><nav>and this</nav>",
    ],
)
def test_usual_pages_are_read_in_pieces(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"<html><head><title>Title</title></head><body>{body}</body></html>"
    assert is_read_so(text)
    assert in_pieces(text, monkeypatch, 9) == html.read(text)


def test_a_page_that_is_nested_too_deeply_is_read_in_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "<div>" * 3_000 + "deep"
    assert not is_read_so(text)
    assert "deep" in in_pieces(text, monkeypatch, 1_000).text
