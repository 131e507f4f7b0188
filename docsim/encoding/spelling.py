"""Spelling: whether an encoder's vocabulary reads the words of a text, or spells them out letter by letter.

A vocabulary that was made for one language has pieces of its words, and of other languages little more than letters.
Letters count as known tokens, but say nothing of what a word means.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.encoding.tokenizer import TokenSpan

__all__ = ["MOST_SPELLED_OUT", "spelled_out_share"]

MOST_SPELLED_OUT = 0.1
"""Share of words, by letters, from which on a vocabulary does not suit some texts.

Of documents in English, German and French, the shipped encoders spell out less than 0.01; of those in Russian, Greek or
Japanese nearly all words; where every fifth document is in Chinese, 0.2.
"""

_LONGEST_WORD = 64  # letters; longer tokens that the vocabulary does not know are data, such as an encoded picture
_FEWEST_LETTERS = 2  # a word of one letter cannot be spelled out
_LETTERS = re.compile(r"[^\W\d_]")


def spelled_out_share(encoder: Encoder, texts: Sequence[str]) -> float:
    """Return what share of the words of some texts an encoder spells out, or does not know at all, in [0, 1].

    Words count by their letters, each text as much as it has. A word is spelled out if most of its letters are tokens
    of their own, or unknown. An ideograph is nearly a word, so one that is a token of its own does not count as spelled
    out. 0 for texts without words.
    """
    counted = np.zeros(2, np.int64)
    for text in texts:
        counted += _letters(encoder.tokens(text), text)
    spelled_out, read = counted.tolist()
    return spelled_out / max(1, spelled_out + read)


def _letters(tokens: Sequence[TokenSpan], text: str) -> NDArray[np.int64]:
    """Return how many letters of a text are in words that are spelled out, and how many in others."""
    badly, well = _readings(tokens, text)
    counted = np.zeros(2, np.int64)
    for start, end in _words(text, until=max(token.end for token in tokens)):
        bad, good = badly[start:end].sum(), well[start:end].sum()
        letters = len(_LETTERS.findall(text, start, end))
        if letters >= _FEWEST_LETTERS and (bad or good):
            counted[0 if bad > good else 1] += letters
    return counted


def _readings(tokens: Sequence[TokenSpan], text: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which characters of a text are spelled out or unknown, and which are read in longer tokens."""
    badly, well = np.zeros(len(text), np.bool_), np.zeros(len(text), np.bool_)
    times = np.zeros(len(text), np.int64)
    for token in tokens:
        length = token.end - token.start
        times[token.start : token.end] += 1
        if not token.known:
            badly[token.start : token.end] = length <= _LONGEST_WORD
        elif length == 1:
            badly[token.start] |= not _is_ideograph(text[token.start])
        else:
            well[token.start : token.end] = True
    badly |= times > 1  # a letter that takes several tokens, as where bytes are read
    return badly, well & ~badly


def _words(text: str, *, until: int) -> list[tuple[int, int]]:
    """Return where the words of a text begin and end: runs of letters and their marks."""
    found, start = list[tuple[int, int]](), None
    for place in range(until + 1):
        inside = place < until and (text[place].isalpha() or unicodedata.category(text[place])[0] == "M")
        if inside and start is None:
            start = place
        elif not inside and start is not None:
            found.append((start, place))
            start = None
    return found


def _is_ideograph(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("CJK UNIFIED")
