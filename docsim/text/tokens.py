"""Tokens: the words of a text, with what else stands for them.

A token is a word, or several that are written together: ``max_retry_count``, ``readFile``, ``e-mail``, ``2.3.1``,
``jane@example.org``. Its words stand in a row; what they make when they are run together stands beside the first of
them, so that "e-mail" and "email", ``read_file`` and ``readFile`` find each other. Scripts that are written without
spaces, and Korean, whose particles cling to words, are cut into pairs of neighbouring characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain, groupby, pairwise
from typing import NamedTuple

from docsim.text.folding import UNSEEN, folded, normalized

__all__ = [
    "JOINTS",
    "LONGEST",
    "MOST_PARTS",
    "FoldedPiece",
    "TokenWords",
    "is_half",
    "is_unspaced",
    "phrase_of",
    "pieces",
    "readings",
    "spaced",
    "token",
    "tokens",
    "without_ends",
    "words_of",
]

LONGEST = 64
"""Characters of a word that count; what follows them is not told apart."""

PIECE = 1 << 20
"""Characters of a long text whose tokens are found at a time, which bounds memory."""

MOST_PARTS = 8
"""Words that a token may have to stand for them run together as well."""

_IDEOGRAPHS = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
_HANGUL = "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"
_THAI_AND_LIKE = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ebd\u0ec0-\u0ece\u0edc-\u0edf\u1000-\u103f\u1050-\u109d\u1780-\u17d3"
)
_UNSPACED = f"{_IDEOGRAPHS}{_KANA}\u3105-\u312f{_HANGUL}{_THAI_AND_LIKE}"

# Vowel signs and accents, which Python does not count among the characters of words
_SIGNS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u0711\u0730-\u074a\u07a6-\u07b0\u07eb-\u07f3\u0816-\u082d\u08d3-\u08ff"
    "\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963\u0981-\u0983\u09bc-\u09cd\u09d7\u09e2\u09e3\u0a01-\u0a51\u0a70"
    "\u0a71\u0a75\u0a81-\u0a83\u0abc-\u0acd\u0ae2\u0ae3\u0b01-\u0b03\u0b3c-\u0b57\u0b62\u0b63\u0b82\u0bbe-\u0bcd\u0bd7"
    "\u0c00-\u0c04\u0c3e-\u0c56\u0c62\u0c63\u0c81-\u0c83\u0cbc-\u0cd6\u0ce2\u0ce3\u0d00-\u0d03\u0d3b-\u0d4d\u0d57\u0d62"
    "\u0d63\u0d81-\u0d83\u0dca-\u0ddf\u0df2\u0df3\u0f18-\u0f19\u0f35\u0f37\u0f39\u0f71-\u0f84\u0f86\u0f87\u0f8d-\u0fbc"
    "\u135d-\u135f\u1712-\u1714\u18a9\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f"
)
JOINTS = "-_.'@:&\u2010\u2019\u02bc\u30fb"
"""What joins words to a token, and may stand around it."""

_LIKE_ASCII = {"\u2010": "-", "\u2019": "'", "\u02bc": "'"}
_PLAIN = {code: " " for code in range(128) if not (chr(code).isalnum() or chr(code) in f"{JOINTS}+#")}
# Patterns of many letters take long to compile, so they wait for the first text that is not ASCII
_RUN = rf"[\w{re.escape(JOINTS)}+#{_SIGNS}{_UNSPACED}]+"
_AN_UNSPACED = f"[{_UNSPACED}]"
_ONE_KIND = f"[{_UNSPACED}]+|[^{_UNSPACED}]+"
_AFTER = (  # vowels and tones of Thai, Lao, Burmese and Khmer
    "\u0e31\u0e33-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb3-\u0ebd\u0ec8-\u0ece\u102b-\u103e\u1056-\u1059\u105e-\u1060"
    "\u1062-\u1064\u1067-\u106d\u17b4-\u17d3"
)
_CLUSTER = f"[\u0e40-\u0e44\u0ec0-\u0ec4]?.[{_AFTER}]*"
_WORD = rf"(?:[^\W_]|[{_SIGNS}])+"
_WRITTEN_RUN = rf"[\w{re.escape(JOINTS)}+#{_SIGNS}{_UNSPACED}{UNSEEN}]+"
_WRITTEN_WORD = rf"(?:[^\W_]|[{_SIGNS}{UNSEEN}])+"
_SPACED = re.compile(r"\n|(?<=[!-~]) (?=[!-~])")
_PLAIN_WORD = re.compile("[A-Za-z0-9]+")
_ASCII_HUMPS = re.compile("[A-Z]+(?=[A-Z][a-z])|[A-Z]*[a-z0-9]+|[A-Z]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NARROW = r"[\uff65-\uff9f]"
_VERSION = re.compile(r"^[^\w]*[vV]?(\d+(?:\.\d+)+)[^\w]*$")
_DOTTED = re.compile(r"\.[^\W\d_]\w*(?=$|[^\w.])")  # .NET
_SHARP = re.compile(r"(?<![^\W_])[^\W\d_](?:\+\+|#)(?=$|[^\w+#])")  # C++, C#


@dataclass(frozen=True, slots=True)
class TokenWords:
    """What a token stands for.

    Attributes:
        words: Its words in a row, folded.
        beside: What stands beside each of them: the place among ``words``, and a folded form.
    """

    words: tuple[str, ...]
    beside: tuple[tuple[int, str], ...] = ()


def tokens(text: str) -> list[str]:
    """Return the tokens of a text as they are written, in order; ``token`` says what each stands for, if anything."""
    if text.isascii():
        return text.translate(_PLAIN).split()
    found: list[str] = []
    for plain, lines in groupby(text.split("\n"), str.isascii):
        joined = "\n".join(lines)
        found += joined.translate(_PLAIN).split() if plain else _of_any_script(joined)
    return found


def pieces(text: str) -> Iterator[str]:
    """Yield a text in pieces of about a million characters, which have the same tokens as the whole.

    A piece ends after a line, or where there is none, after a space between characters of ASCII; else it is longer.
    """
    start = 0
    while len(text) - start > PIECE:
        end = text.rfind("\n", start, start + PIECE) + 1 or _after_space(text, start + PIECE // 2)
        yield text[start:end]
        start = end
    yield text[start:]


def _after_space(text: str, start: int) -> int:
    found = _SPACED.search(text, start)
    return found.end() if found else len(text)


def _of_any_script(text: str) -> list[str]:
    text = normalized(text)
    found: list[str] = _compiled(_RUN).findall(text)
    if not _compiled(_AN_UNSPACED).search(text):
        return found
    pieces = chain.from_iterable(map(_compiled(_ONE_KIND).findall, found))
    return [one for piece in pieces for one in (_pairs(piece) if is_unspaced(piece) else (piece,))]


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def is_unspaced(one: str) -> bool:
    """Return whether a token is of a script that is cut into pairs of characters."""
    return not one.isascii() and _compiled(_AN_UNSPACED).match(one) is not None


def _pairs(run: str) -> Iterator[str]:
    """Yield each pair of neighbouring characters, and the last character: so each begins one."""
    characters = _compiled(_CLUSTER).findall(run)
    yield from map("".join, pairwise(characters))
    yield characters[-1]


def without_ends(found: Sequence[str]) -> list[str]:
    """Return tokens without the last characters of runs that are cut into pairs: the pair before holds them too."""
    pairs = zip(("", *found), found, strict=False)
    return [one for before, one in pairs if not (before != one and before.endswith(one) and is_unspaced(one))]


def words_of(text: str) -> list[str]:
    """Return the words of a text, folded, in order."""
    return [word for one in without_ends(tokens(text)) for word in token(one).words]


def phrase_of(text: str) -> tuple[str, ...]:
    """Return the words that stand in a row, folded, wherever a text is part of another."""
    found = tokens(text)
    whole = found[:-1] if len(without_ends(found[-2:])) < len(found[-2:]) else found
    return tuple(word for one in whole for word in token(one).words)


def token(one: str) -> TokenWords:
    """Return what a token of ``tokens`` stands for."""
    core = one.strip(JOINTS)
    if core.isascii() and core.isalnum() and not one.startswith(".") and _is_plain(core):
        return TokenWords((core[:LONGEST].lower(),))
    if is_unspaced(one):
        characters = _compiled(_CLUSTER).findall(one)  # the first stands for itself, too, for who asks for it alone
        return TokenWords((folded(one),), ((0, folded(characters[0])),) if len(characters) > 1 else ())
    written = (_PLAIN_WORD if one.isascii() else _compiled(_WORD)).findall(one)
    parts = [_HUMP.split(word) for word in written]
    flat = tuple(folded(part)[:LONGEST] for each in parts for part in each)
    if len(flat) > MOST_PARTS:
        return TokenWords(tuple(folded(word)[:LONGEST] for word in written))
    return TokenWords(flat, tuple(dict.fromkeys(_beside(one, written, parts, flat))) if flat else ())


class FoldedPiece(NamedTuple):
    """What a piece of a token of ``spaced``, ``token[start:end]``, stands for: a folded word."""

    start: int
    end: int
    word: str


def spaced(text: str) -> str:
    """Return a text whose pieces between spaces are its tokens, each where it is written.

    Every character that belongs to no token is a space. The others stand in the form that words are compared in, where
    that is one character; a token may therefore be longer than that of ``tokens``.
    """
    return text.translate(_PLAIN if text.isascii() else _FORMS)


def is_half(character: str) -> bool:
    """Return whether what is written may be this and the character beside it: an accent, or narrow kana."""
    return bool(unicodedata.combining(character)) or "\uff65" <= character <= "\uff9f"


class _Forms(dict[int, str]):
    """The characters of ``spaced``."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        form = normalized(character)
        form = form if len(form) == 1 and not is_half(character) else character
        form = _LIKE_ASCII.get(form, form) if _compiled(_WRITTEN_RUN).match(form) else " "
        self[code] = form = _PLAIN.get(ord(form), form)
        return form


_FORMS = _Forms()


def readings(one: str) -> Sequence[FoldedPiece]:
    """Return what a token of ``spaced`` and its pieces stand for, a whole before its parts."""
    core = one.strip(JOINTS)
    if core.isascii() and core.isalnum() and not one.startswith(".") and _is_plain(core):
        start = one.index(core)
        return (FoldedPiece(start, start + len(core), core[:LONGEST].lower()),)
    return _remembered(one) if len(one) <= LONGEST else _readings(one)


@lru_cache(8192)
def _remembered(one: str) -> Sequence[FoldedPiece]:
    return tuple(_readings(one))  # the same tokens stand in most answers


def _readings(one: str) -> Sequence[FoldedPiece]:
    if one.isascii():
        return _ascii_readings(one)
    if not _compiled(_AN_UNSPACED).search(one):
        return list(_spaced_readings(one))
    pieces = _compiled(_ONE_KIND).finditer(one)
    found = [
        FoldedPiece(piece.start() + held.start, piece.start() + held.end, held.word)
        for piece in pieces
        for held in (_unspaced_readings if is_unspaced(piece[0]) else _spaced_readings)(piece[0])
    ]
    if _compiled(_NARROW).search(one):  # narrow kana, two of which may be one character, have the words of the whole
        found += [FoldedPiece(0, len(one), word) for word in words_of(one)]
    return found


def _ascii_readings(one: str) -> list[FoldedPiece]:
    """Return what ``_spaced_readings`` yields, in a third of the time."""
    words = list(_PLAIN_WORD.finditer(one))
    if not words:
        return []
    humps = [[piece.span() for piece in _ASCII_HUMPS.finditer(one, *word.span())] for word in words]
    parts = [[one[start:end] for start, end in each] for each in humps]
    flat = tuple(part.lower()[:LONGEST] for each in parts for part in each)
    found = list[FoldedPiece]()
    if len(flat) <= MOST_PARTS:
        low, high = words[0].start(), words[-1].end()
        for _, form in dict.fromkeys(_beside(one, [word[0] for word in words], parts, flat)):
            found.append(FoldedPiece(low, high, form) if form.isalnum() else FoldedPiece(0, len(one), form))
    for word, each in zip(words, humps, strict=True):
        for start, end in [*each, *([word.span()] if len(each) > 1 else [])]:
            found.append(FoldedPiece(start, end, one[start:end].lower()[:LONGEST]))
    return found


def _spaced_readings(one: str) -> Iterator[FoldedPiece]:
    words = list(_compiled(_WRITTEN_WORD).finditer(one))
    for _, form in token(normalized(one)).beside if words else ():
        yield FoldedPiece(words[0].start(), words[-1].end(), form) if form.isalnum() else FoldedPiece(0, len(one), form)
    for word in words:
        cuts = [0, *(cut.start() for cut in _HUMP.finditer(word[0])), len(word[0])]
        for low, high in [*(pairwise(cuts)), *([(0, cuts[-1])] if len(cuts) > 2 else [])]:
            for form in _stood_for(word[0][low:high]):
                yield FoldedPiece(word.start() + low, word.start() + high, form)


def _unspaced_readings(one: str) -> Iterator[FoldedPiece]:
    spans = [found.span() for found in _compiled(_CLUSTER).finditer(one)]
    pairs = [(here[0], after[1]) for here, after in pairwise(spans)]
    yield from (FoldedPiece(start, end, _of(one[start:end])) for start, end in [*pairs, *spans])


def _stood_for(piece: str) -> Iterator[str]:
    """Yield what a written piece of a word stands for: more than itself where it is short for something else."""
    yield _of(piece)
    if not piece.isascii() and normalized(piece) != piece:
        yield from words_of(piece)


def _of(word: str) -> str:
    return folded(normalized(word))[:LONGEST]


def _is_plain(word: str) -> bool:
    """Return whether a word of letters and digits is one word."""
    return word[1:].islower() or word.isdigit() or (word.isupper() and word.isalpha()) or len(word) == 1


def _beside(one: str, written: list[str], parts: list[list[str]], flat: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    if one.startswith(".") and (name := _DOTTED.match(one)):
        yield 0, folded(name[0])[:LONGEST]
    if one.endswith(("+", "#", ".")) and (sharp := _SHARP.search(one)):
        yield len(flat) - 1, folded(sharp[0])[:LONGEST]
    if len(flat) == 1:
        return
    version = _VERSION.search(one)
    yield 0, version[1] if version else "".join(flat)[:LONGEST]
    place = 0
    for word, humps in zip(written, parts, strict=True):
        if 1 < len(humps) < len(flat):
            yield place, folded(word)[:LONGEST]
        place += len(humps)
