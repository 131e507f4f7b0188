from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docsim.text.matching import Matcher, united
from docsim.text.tokens import words_of


def marked(matcher: Matcher, text: str) -> list[str]:
    return [text[start:end] for start, end in united(matcher.matches(text))]


@pytest.mark.parametrize(
    ("question", "text", "expected"),
    [
        ("how do I rotate the certificates", "Rotating a certificate: the how-to", ["Rotating", "certificate"]),
        ("how do I", "How do I do that?", ["How", "do", "I", "do"]),
        ("retry count", "max_retry_count, retryCount; RETRIES", ["retry", "count", "retryCount", "RETRIES"]),
        ("readFile", "readfile read_file read a file", ["readfile", "read_file", "read", "file"]),
        ("read file", "call readFile or readfile", ["readFile", "readfile"]),
        ("e-mail", "E-Mail, email and mail", ["E-Mail", "email", "mail"]),
        ("C++ or C#", "In C++ and C#, not in B.", ["C++", "C#"]),
        ("version 3.11.2", "v3.11.2 and 3.11.1", ["v3.11.2", "3", "11"]),
        ("die Häuser in München", "Das HAUS, in MUNCHEN.", ["HAUS", "MUNCHEN"]),
        ("X25", "an X.25 line, an x25 line", ["X.25", "x25"]),
        ("don't stop", "Don\u2019t stop: \u201cstop\u201d \u2014 stop\u2026", ["Don\u2019t", "stop", "stop", "stop"]),
        ("oneil", "O'Neil and O\u2019Neil", ["O'Neil", "O\u2019Neil"]),
        ("stop", "stop stop. Stop", ["stop", "stop", "Stop"]),
        ("XMLHttpRequest", "request of XMLHttp2Request", ["request", "XML", "Request"]),
        ("cafe", "cafe\u0301 caf\u00e9 caf\u00adé caf", ["cafe\u0301", "caf\u00e9", "caf\u00adé"]),
        ("\u6771\u4eac\u90fd", "\u65b0\u6771\u4eac\u90fd\u6c11 \u4eac\u6771", ["\u6771\u4eac\u90fd"]),
        ("\u30ac\u30a4\u30c9", "\uff76\uff9e\uff72\uff84\uff9e x", ["\uff76\uff9e\uff72\uff84\uff9e"]),
        ("\u043b\u0435\u0441\u0430", "\u0432 \u043b\u0435\u0441\u0443", ["\u043b\u0435\u0441\u0443"]),
        ("x", "y", []),
        ("", "anything", []),
    ],
)  # fmt: skip
def test_exactly_what_is_asked_for_is_marked(question: str, text: str, expected: list[str]) -> None:
    assert marked(Matcher(question), text) == expected


def test_beginnings_and_phrases_are_marked() -> None:
    matcher = Matcher("deploy the end", beginnings=["deploy"], phrases=[("the", "end")])
    assert marked(matcher, "Deployments: in The  End, the deployed end") == [
        "Deployments",
        "The  End",
        "deployed",
        "end",
    ]
    assert marked(Matcher("go", beginnings=["ru"]), "Running: go run") == ["Running", "go", "run"]
    assert marked(Matcher("d e", beginnings=["d"]), "do be ended") == ["do"]


pieces = st.sampled_from(["e\u0301", "ß", "東", "京", "ｶﾞ", "read", "File", "_", "-", "'", " ", "+", "½"])
texts = st.one_of(st.text(), st.lists(pieces).map("".join))


@given(question=texts, text=texts)
def test_matches_lie_in_the_text_in_order_and_a_text_matches_itself(question: str, text: str) -> None:
    matcher = Matcher(question, beginnings=("re",))
    found = matcher.matches(text)
    assert all(0 <= one.start < one.end <= len(text) and one.asked in matcher.asked for one in found)
    stretches = list(united(found))
    assert all(before[1] < after[0] for before, after in pairwise(stretches))


@given(st.lists(pieces).map("".join))
def test_a_text_matches_itself(text: str) -> None:
    assert bool(Matcher(text).matches(text)) == any(words_of(text))
