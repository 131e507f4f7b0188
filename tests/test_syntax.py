from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docsim.filters.condition import Holds, Not
from docsim.search.syntax import MOST_CHARACTERS, MOST_OPERATORS, parsed

PLAIN = [
    "e-mail -> x", "-5 degrees", "--option", "-", "- milk", "-milk and eggs", "* item", "ERR-42 0x8007 a:b:c", "C++",
    "3*4", "AT&T", "well-known", "x - y", "x -y", "rock -n roll", "10:30 -11:15", "2020-01-02", "#tag @user", "5*",
    "a*", "*", "ls -la", "rm -rf build", "tar -xzf a.tar.gz", "find . -name *.py", 'git commit -m "message"',
    "java -jar app.jar", 'grep -rin "some words"', "pip install --no-deps x -q", "**/*.md", "if (a *b) return;",
    'print("hello world")', "char **p", 'x = "a b"', "foo->bar", '{"title": "x"}', "SELECT * FROM t", "a | b",
    "title:x = 1", "curl -X POST example.org", 'He said "no way" and left.', 'What does "idempotent" mean?',
    'The "cloud", they said', "title: something", "Title: x", "title:", 'title:""', '""', '"..."', '" "', '5" pipe',
    'say "cheese', 'a "b" c"', "“quoted words” here", "**bold** text", "*very* good", "one -two- three",
    "wait -what? no", 'Dear Jo,\n"see" below', 'one\n"two three"', "-only", "-only -these", "see (title:x)",
    "https://example.org/?q=title:x", "mailto:jane@example.org -now!", "–draft", "a —draft", "un*known", "",
]  # fmt: skip


@pytest.mark.parametrize("text", PLAIN)
def test_whatever_else_is_plain_text(text: str) -> None:
    said = parsed(text)
    assert (said.text, said.operators, said.conditions, said.beginnings) == (text, (), (), ())


@pytest.mark.parametrize(
    ("text", "words", "conditions", "beginnings"),
    [
        ('"annual leave"', "annual leave", [Holds(("annual", "leave"))], ()),
        ('policy "Annual  Leave" uk', "policy Annual  Leave uk", [Holds(("annual", "leave"))], ()),
        ("backup -tape", "backup", [Not(Holds(("tape",)))], ()),
        ('backup -tape -"disk image"', "backup", [Not(Holds(("tape",))), Not(Holds(("disk", "image")))], ()),
        ("mail -e-mail", "mail", [Not(Holds(("e", "mail")))], ()),
        ('js -"c#"', "js", [Not(Holds(("c",)))], ()),
        ("title:guide", "guide", [Holds(("guide",), in_title=True)], ()),
        ('title:"user guide" x', "user guide x", [Holds(("user", "guide"), in_title=True)], ()),
        ("title:guid* x", "guid x", [Holds(("guid",), in_title=True, beginning=True)], ()),
        ("x -title:old", "x", [Not(Holds(("old",), in_title=True))], ()),
        ("x -deploy*", "x", [Not(Holds(("deploy",), beginning=True))], ()),
        ("Deploy* now", "Deploy now", [], ("deploy",)),
        ("Stra\u00dfe* now", "Stra\u00dfe now", [], ("strasse",)),
        ("\u6771\u4eac* -\u5927\u962a", "\u6771\u4eac", [Not(Holds(("\u5927\u962a",)))], ()),
        (
            '"\u6771\u4eac\u90fd \u30bf\u30ef\u30fc"',
            "\u6771\u4eac\u90fd \u30bf\u30ef\u30fc",
            [Holds(("\u6771\u4eac", "\u4eac\u90fd", "\u90fd", "\u30bf\u30ef", "\u30ef\u30fc"))],
            (),
        ),
        ("a.b/c:d C++ \"x y\"", "a.b/c:d C++ x y", [Holds(("x", "y"))], ()),
    ],
)  # fmt: skip
def test_operators_are_read(text: str, words: str, conditions: list[object], beginnings: tuple[str, ...]) -> None:
    said = parsed(text)
    assert (said.text, list(said.conditions), said.beginnings) == (words, conditions, beginnings)
    assert all(one in text for one in said.operators)
    assert said == parsed(f"  {text}\n")


def test_what_is_very_long_is_plain_text() -> None:
    many = " ".join(['"a b"'] * (MOST_OPERATORS + 1))
    assert parsed(many[: -len(' "a b"')]).operators
    assert not parsed(many).operators
    assert not parsed('"a b" ' + "x" * MOST_CHARACTERS).operators


pieces = st.sampled_from(
    ['"', "-", "*", "title:", " ", "\n", "a", "word", "über", "東京", ".", "(", "5", "\u0301", "\u00a0"]
)


@given(st.one_of(st.text(), st.lists(pieces, max_size=12).map("".join)))
def test_any_text_is_read_and_either_as_it_is_or_by_its_operators(text: str) -> None:
    said = parsed(text)
    if not said.operators:
        assert said.text == text
        return
    written = re.sub(r"\s", "", text)
    assert said.text.strip()
    for one in said.operators:
        assert re.sub(r"\s", "", one) in written
    assert not parsed(f"{text}.").operators
