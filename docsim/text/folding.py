"""Folding: one spelling for what people take for one word, whatever its case, accents and compatibility characters.

Text is brought into Unicode's compatibility form (NFKC), in which "ﬁ" is "fi", and characters that cannot be seen are
dropped: soft hyphens, zero-width spaces, marks of direction. A word is then case-folded and loses accents
where readers of its script write and type it without them: "Łódź" becomes "lodz", "Straße" "strasse". Marks that make
another letter stay: the breve of the Cyrillic "й", the dakuten of "ガ", the vowel signs of Indic scripts.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["UNSEEN", "folded", "normalized"]

UNSEEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff"
)
"""Characters that cannot be seen, as they stand between the brackets of a regular expression."""

_UNSEEN = re.compile(f"[{UNSEEN}]")

_LETTERS = str.maketrans(
    {
        "ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŧ": "t", "ŋ": "n",
        "ĸ": "k", "ƒ": "f", "ə": "e", "ɛ": "e", "ɔ": "o", "ѐ": "е", "ё": "е", "ѝ": "и", "ς": "σ", "ך": "כ", "ם": "מ",
        "ן": "נ", "ף": "פ", "ץ": "צ", "أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ی": "ي", "ک": "ك",
        "\u0640": None,
    }
)  # fmt: skip

_MARKED = re.compile("[\u00c0-\u024f\u0370-\u03ff\u1e00-\u1fff]")  # letters of Latin and Greek with marks of their own
_MARKS = re.compile(
    "(?<=[A-Za-z\u00c0-\u024f\u0370-\u03ff\u1e00-\u1fff\u0300-\u036f])[\u0300-\u036f]+"  # above Latin and Greek letters
    "|(?<=[\u0400-\u052f])[\u0300\u0301]+"  # the stress in Cyrillic
    "|[\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8]+"
)


def normalized(text: str) -> str:
    """Return a text in Unicode's compatibility form, without characters that cannot be seen."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _UNSEEN.sub("", text))


def folded(word: str) -> str:
    """Return a normalized word without case and without accents."""
    if word.isascii():
        return word.lower()
    word = word.casefold()
    if _MARKED.search(word):
        word = unicodedata.normalize("NFD", word)
    return unicodedata.normalize("NFC", _MARKS.sub("", word)).translate(_LETTERS)
