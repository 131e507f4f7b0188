"""Reads a ``tokenizer.json`` that may come from a stranger, and refuses what would crash the ``tokenizers`` library."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tokenizers import Tokenizer

from docsim import allocation
from docsim.encoding import charsmap
from docsim.errors import EncoderError

__all__ = ["read_tokenizer"]

MOST_CHARACTERS = 200_000_000
"""Characters of a ``tokenizer.json``; those of models with 256,000 tokens have about 35 million."""

_TRIED = ("", "A word, \u00e9, \uff21, \u4e2d\u6587 \U0001f600\n", "\x00 \u0130\u00ad\u200b")


def read_tokenizer(content: str) -> Tokenizer:
    """Return the tokenizer in the content of a ``tokenizer.json``, after it has read a few texts.

    Args:
        content: The file's text.

    Raises:
        EncoderError: It is no tokenizer, far too large, or damaged; the message does not name the file's place.
        MemoryError: This process may have too little memory for it.
    """
    if len(content) > MOST_CHARACTERS:
        raise EncoderError(f"its tokenizer.json has {len(content):,} characters; expected at most {MOST_CHARACTERS:,}")
    _check_maps(content)
    allocation.require(4 * len(content) + (16 << 20))
    try:
        tokenizer = Tokenizer.from_str(content)
        for text in _TRIED:
            tokenizer.encode(text)
    except BaseException as error:
        # The library has no error type of its own. Its panics are no ``Exception``, to get past handlers like this one.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise EncoderError(f"its tokenizer.json cannot be used: {error}") from None
        raise
    return tokenizer


def _check_maps(content: str) -> None:
    """Raise if a precompiled map of characters is damaged. Few tokenizers have one, and its name may be escaped."""
    if "precompiled_charsmap" not in content and "\\u" not in content:
        return
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        raise EncoderError("its tokenizer.json is no JSON") from None
    for found in _maps(parsed):
        if reason := charsmap.problem(found):
            raise EncoderError(f"its tokenizer.json has a precompiled map of characters that {reason}")


def _maps(settings: object) -> Iterator[object]:
    """Yield every precompiled map; normalizers can be inside others."""
    waiting = [settings.get("normalizer")] if isinstance(settings, dict) else []
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if "precompiled_charsmap" in one:
                yield one["precompiled_charsmap"]
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
