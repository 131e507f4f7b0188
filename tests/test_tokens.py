from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docsim.text import tokens as spelled
from docsim.text.tokens import LONGEST, MOST_PARTS, pieces, token, tokens


def words(text: str) -> list[str]:
    return [word for one in tokens(text) for word in token(one).words]


def beside(text: str) -> set[str]:
    return {form for one in tokens(text) for _, form in token(one).beside}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The quick, brown fox.", ["the", "quick", "brown", "fox"]),
        ("max_retry_count", ["max", "retry", "count"]),
        ("setMaxRetryCount(7)", ["set", "max", "retry", "count", "7"]),
        ("XMLHttpRequest", ["xml", "http", "request"]),
        ("--no-prune", ["no", "prune"]),
        ("/etc/nginx/nginx.conf", ["etc", "nginx", "nginx", "conf"]),
        ("std::vector<int>", ["std", "vector", "int"]),
        ("l'hôpital d’Orsay", ["l", "hopital", "d", "orsay"]),
        ("员工年假", ["员工", "工年", "年假", "假"]),
        ("Kubernetesのガイド", ["kubernetes", "のガ", "ガイ", "イド", "ド"]),
        ("연차휴가는 매년", ["연차", "차휴", "휴가", "가는", "는", "매년", "년"]),
        ("हिन्दी में लेख", ["हिन्दी", "में", "लेख"]),
        ("... - --- ''", []),
        ("\x1b[31mERROR\x1b[0m", ["31m", "error", "0m"]),
        ("Kran\u00adken Reise\u200bkosten", ["kranken", "reisekosten"]),
        ("", []),
    ],
)
def test_words_of_a_text(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_thai_is_cut_into_pairs_of_letters_with_their_signs() -> None:
    assert words("พักร้อน") == ["พัก", "กร้", "ร้อ", "อน", "น"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_retry_count", {"maxretrycount"}),
        ("maxRetryCount", {"maxretrycount"}),
        ("max-retry-count", {"maxretrycount"}),
        ("foo.setMax", {"foosetmax", "setmax"}),
        ("e-mail", {"email"}),
        ("O’Reilly", {"oreilly"}),
        ("co\u2010operative", {"cooperative"}),
        ("v2.3.1", {"2.3.1"}),
        ("2.3.1.", {"2.3.1"}),
        ("192.168.0.1", {"192.168.0.1"}),
        ("aa:bb:cc:dd:ee:ff", {"aabbccddeeff"}),
        ("AA-BB-CC-DD-EE-FF", {"aabbccddeeff"}),
        ("CVE-2021-44228", {"cve202144228"}),
        ("jane.doe@example.org", {"janedoeexampleorg"}),
        ("C++, C#.", {"c++", "c#"}),
        (".NET", {".net"}),
        ("issue#12 a+b", {"issue12", "ab"}),
        ("plain words", set()),
        ("年假期", {"年", "假"}),
    ],
)
def test_what_stands_beside_the_words_of_a_text(text: str, expected: set[str]) -> None:
    assert beside(text) == expected


def test_an_identifier_of_very_many_parts_stands_for_its_words_only() -> None:
    one = token("_".join("abcdefghijk"[: MOST_PARTS + 1]))
    assert one.words == tuple("abcdefghijk"[: MOST_PARTS + 1])
    assert one.beside == ()


def test_of_an_endless_word_the_beginning_counts() -> None:
    assert words("a" * 100_000) == ["a" * LONGEST]


def test_lines_of_other_scripts_stay_in_their_place() -> None:
    assert words("one\ntwo\nдва три\nfour\n年假\nfive") == ["one", "two", "два", "три", "four", "年假", "假", "five"]


@given(st.text(max_size=60))
def test_any_text_has_words_without_blanks(text: str) -> None:
    for one in tokens(text):
        found = token(one)
        assert all(word and not any(map(str.isspace, word)) for word in found.words)
        assert all(0 <= place < len(found.words) for place, _ in found.beside)


@given(st.text(alphabet="aB1_.-+# é年ガ'\n", max_size=40))
def test_letters_and_digits_are_all_in_some_word(text: str) -> None:
    joined = "".join(words(text))
    assert {letter for letter in text.lower().replace("é", "e") if letter.isalnum()} <= set(joined)


@given(
    st.lists(
        st.sampled_from(["a", "é", "\u0301", "日", "ｶ", "ﾞ", " ", "\n", "-", ".", "\u200b", "ß", "\r"]), max_size=60
    )
)
def test_pieces_of_a_text_have_the_tokens_of_the_whole(characters: list[str]) -> None:
    text = "".join(characters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spelled, "PIECE", 8)
        found = list(pieces(text))
    assert "".join(found) == text
    assert [one for piece in found for one in tokens(piece)] == tokens(text)
