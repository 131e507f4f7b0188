"""A ``tokenizer.json`` from anybody is read, or refused in one sentence; a panic inside the library never gets out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_encoder import tiny_tokenizer
from tiny_models import FULLWIDTH_A, encoded_map, pieces, precompiled_map

from docsim.encoding import charsmap, tokenizer_file
from docsim.encoding.tokenizer_file import read_tokenizer
from docsim.errors import EncoderError

SOUND = precompiled_map()


def with_map(charsmap: object) -> str:
    content = json.loads(pieces().to_str())
    content["normalizer"] = {
        "type": "Sequence",
        "normalizers": [{"type": "Precompiled", "precompiled_charsmap": charsmap}],
    }
    return json.dumps(content)


def test_a_sound_map_is_read_and_applied() -> None:
    tokenizer = read_tokenizer(with_map(encoded_map(SOUND)))
    assert tokenizer.encode(FULLWIDTH_A).ids == tokenizer.encode("A").ids


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is cut short"),
        (SOUND[:3], "is cut short"),
        (b"\x00\x00\x00\x00A\x00", "is cut short"),
        (SOUND[:2000], "is cut short"),
        (b"\xff\xff\xff\xff" + SOUND[4:], "is cut short"),
        (SOUND + b"\xff\xfe", "has replacements that are not in UTF-8"),
        (precompiled_map({0: 4096 << 10}), "leads out of itself"),
        (precompiled_map({512 ^ 0xBC: 100_000 << 10 | 0xBC}), "leads out of itself"),
        (precompiled_map({1024: 1 << 31 | 3}), "leads out of itself"),
        (precompiled_map({1024: 1 << 31 | 1}, "\u00e9\x00".encode()), "leads out of itself"),
    ],
    ids=["empty", "head", "no units", "half", "huge", "bytes", "root", "middle", "beyond", "inside a character"],
)
def test_a_damaged_map_is_refused_before_the_library_sees_it(content: bytes, reason: str) -> None:
    with pytest.raises(EncoderError, match=f"precompiled map of characters that {reason}"):
        read_tokenizer(with_map(encoded_map(content)))


def test_a_map_under_an_escaped_name_is_checked_as_well() -> None:
    hidden = with_map(encoded_map(precompiled_map({0: 4096 << 10}))).replace("precompiled_", "precompiled\\u005f")
    with pytest.raises(EncoderError, match="leads out of itself"):
        read_tokenizer(hidden)


@pytest.mark.parametrize(("value", "reason"), [(7, "is no text"), ("%%%", "is not in base64")])
def test_a_map_that_is_none_is_refused(value: object, reason: str) -> None:
    with pytest.raises(EncoderError, match=reason):
        read_tokenizer(with_map(value))


def test_a_huge_map_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charsmap, "MOST_CHARACTERS", 100)
    with pytest.raises(EncoderError, match="more than 100"):
        read_tokenizer(with_map(encoded_map(SOUND)))


def test_a_huge_tokenizer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_file, "MOST_CHARACTERS", 100)
    with pytest.raises(EncoderError, match="expected at most 100"):
        read_tokenizer(tiny_tokenizer().to_str())


@settings(max_examples=200, deadline=None)
@given(
    damage=st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), min_size=1, max_size=8),
    text=st.text(),
)
def test_a_map_that_passes_never_ends_in_a_panic(damage: list[tuple[int, int]], text: str) -> None:
    content = bytearray(SOUND)
    for place, byte in damage:
        content[place] = byte
    try:
        tokenizer = read_tokenizer(with_map(encoded_map(bytes(content))))
    except EncoderError:
        return
    tokenizer.encode(text.encode("utf-8", "replace").decode() + FULLWIDTH_A + "\uff20\uf000\U0001f600")


def broken(**changes: Any) -> str:
    content = json.loads(pieces().to_str())
    content["model"].update(changes)
    return json.dumps(content)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "{" * 100_000,
        tiny_tokenizer().to_str()[:-9],
        broken(unk_id=9999),
        broken(vocab=[]),
        '{"\\u0061": ',
    ],
    ids=["empty", "list", "nothing", "deep", "torn", "unknown", "no tokens", "escaped"],
)
def test_what_is_no_tokenizer_is_refused_in_one_sentence(content: str) -> None:
    with pytest.raises(EncoderError, match=r"^its tokenizer\.json [^\n]*$"):
        read_tokenizer(content)
