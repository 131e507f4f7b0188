"""What nobody reads is no text: terminal codes, base64, code of site generators; titles stay as they are written."""

from __future__ import annotations

import time

import pytest

from docsim.ingest.content import legible
from docsim.ingest.formats import read
from docsim.ingest.markdown_code import removed


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[31mFAIL\x1b[0m: disk", "FAIL: disk"),
        ("\x1b[38;5;196mred\x1b[K", "red"),
        ("\x1b]0;owned\x07done", "done"),
        ("\x1b]8;;http://x.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("N\x08NA\x08AM\x08ME\x08E _\x08x", "NAME x"),
        ("a\x00b\x07c\x9b31m", "abc31m"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("nothing to do", "nothing to do"),
    ],
)
def test_codes_of_terminals_are_no_text(written: str, shown: str) -> None:
    assert legible(written) == shown


@pytest.mark.parametrize("around", ["![a]({})", '<img src="{}">', "[ref]: <{}>", "url({})"])
def test_base64_is_no_text(around: str) -> None:
    assert len(legible(around.format("data:image/svg+xml;charset=utf-8;base64," + "QUJD" * 400))) < 100


def test_a_block_of_base64_is_no_text_but_a_long_word_is() -> None:
    block = "\n".join(["QUJDREVG" * 8] * 20)
    assert legible(f"-----BEGIN-----\n{block}\n-----END-----\n") == "-----BEGIN-----\n...\n-----END-----\n"
    assert legible("A" * 300) == "A" * 300


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("import Tabs from '@theme/Tabs';\nimport {a, b} from \"x\"\n\nText", "\nText"),
        ("export const a = {\n  b: 1,\n};\nText", "Text"),
        ("a {/* note */}b <!-- hidden\n\nlines -->c", "a b c"),
        ('{{< note title="Mind" >}}Inner{{< /note >}}', "MindInner"),
        ("{{% alert %}}Inner{{% /alert %}}", "Inner"),
        ('the {{< glossary text="control plane" term_id="cp" >}} is', "the control plane is"),
        ('ask in {% channel "help-desk" %}, see [x]({% page "a/b" %})', "ask in help-desk, see [x]()"),
        ('{% include note.html content="Careful" %} x', "Careful x"),
        ("`{{< note >}}` and `<!-- a -->`", "`{{< note >}}` and `<!-- a -->`"),
        (
            "```\nimport x from 'y'\n{{< a >}}\n<!-- b -->\n```\n",
            "```\nimport x from 'y'\n{{< a >}}\n<!-- b -->\n```\n",
        ),
        ("import taxes are due in May\n", "import taxes are due in May\n"),
        ("{{ site.title }} and {x}", "{{ site.title }} and {x}"),
        ("a <!-- never closed", "a <!-- never closed"),
    ],
)
def test_code_of_site_generators_is_no_text(written: str, shown: str) -> None:
    assert removed(written) == shown


def test_components_of_mdx_are_no_text_but_what_they_show_is() -> None:
    source = '# A\n\n<TabItem value="x" label="Windows">\n\nRun `<Setup />` now.\n\n</TabItem>\n'
    assert read(source.encode(), ".mdx", "x.mdx").text.split() == ["#", "A", "Windows", "Run", "`<Setup", "/>`", "now."]
    assert "<TabItem" in read(source.encode(), ".md", "x.md").text


@pytest.mark.parametrize(
    "hostile", ["<!--", "{/*", "{{<", "{%", "`", "<A ", "import a", "data:a/b;base64,", "\x1b[", "A" * 70 + "\n"]
)
def test_hostile_text_takes_linear_time(hostile: str) -> None:
    text = hostile * (1_000_000 // len(hostile))
    start = time.perf_counter()
    read(text.encode(), ".mdx", "x.mdx")
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize(
    ("source", "suffix", "title"),
    [
        ("---\ntitle: 4.20\n---\n", ".md", "4.20"),
        ("---\ntitle: Yes\n---\n", ".md", "Yes"),
        ("---\ntitle: 0755\n---\n", ".md", "0755"),
        ("---\ntitle: 2024-05-01\n---\n", ".md", "2024-05-01"),
        ("---\ntitle: 1e3\n---\n", ".md", "1e3"),
        ("---\ntitle: '<slot> & <b>'\n---\n", ".md", "<slot> & <b>"),
        ("# The `<slot>` and `a*b*c`\n", ".md", "The <slot> and a*b*c"),
        ("# f(**kwargs, *args)\n", ".md", "f(**kwargs, *args)"),
        ("# *Very* __init__ and snake_case\n", ".md", "Very init and snake_case"),
        ("# AT&T &amp; friends &copy\n", ".md", "AT&T & friends &copy"),
        ("# F#\n", ".md", "F#"),
        ("# Closed ##\n", ".md", "Closed"),
        ("a=1&lt=2 <b>\n", ".txt", "a=1&lt=2 <b>"),
        ("C:\\temp\\*new* is full\n", ".txt", "C:\\temp\\*new* is full"),
        ("<title>A &amp;amp; B &lt;i&gt;</title><p>x", ".html", "A &amp; B <i>"),
        ("<title>Untitled Document</title><h1>Real <em>one</em></h1>", ".html", "Real *one*"),
    ],
)
def test_a_title_stays_as_it_is_written(source: str, suffix: str, title: str) -> None:
    assert read(source.encode(), suffix, f"x{suffix}").title == title


def test_front_matter_has_values_as_they_are_written() -> None:
    block = "---\na: 3.10\nb: No\nc: 12:30\nd: 0123\ne: 1.5\nf: -7\ng: true\nh: null\ni: 1_000\nj: on\nk: .5\n---\n"
    assert read(block.encode(), ".md", "x.md").metadata == {
        "a": "3.10", "b": "No", "c": "12:30", "d": "0123", "e": 1.5, "f": -7, "g": True, "h": None, "i": "1_000",
        "j": "on", "k": ".5",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("2024-03-01T12:00:00Z", "2024-03-01T12:00:00Z"),
        ("2024-03-01 9:05:00 +2", "2024-03-01T09:05:00+02:00"),
        ("2024-03-01 12:00:00.25-0530", "2024-03-01T12:00:00.25-05:30"),
        ("2024-03-01", "2024-03-01"),
        ("2024-03-01 12:00", "2024-03-01T12:00"),
        ("2024-13-41", "2024-13-41"),
    ],
)
def test_dates_are_iso_8601_with_their_time_zone(written: str, kept: str) -> None:
    assert read(f"---\nd: {written}\n---\n".encode(), ".md", "x.md").metadata == {"d": kept}
    assert read(f'---\nd: "{written}"\n---\n'.encode(), ".md", "x.md").metadata == {"d": kept}


def test_dates_of_toml_are_iso_8601() -> None:
    found = read(b"+++\na = 2024-03-01T12:00:00Z\nb = 2024-03-01\nc = 2024-03-01 12:00:00+02:00\n+++\n", ".md", "x.md")
    assert found.metadata == {"a": "2024-03-01T12:00:00Z", "b": "2024-03-01", "c": "2024-03-01T12:00:00+02:00"}
