"""Stemming by Snowball (Porter 2001, http://snowball.tartarus.org/texts/introduction.html), through PyStemmer."""

from __future__ import annotations

import threading
from collections.abc import Sequence

__all__ = ["ALGORITHMS", "stems"]

ALGORITHMS = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish", "fr": "french", "ga": "irish",
    "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian",
    "ne": "nepali", "nl": "dutch", "no": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian",
    "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish",
}  # fmt: skip
"""The name of Snowball's algorithm, by the language's ISO 639-1 code."""

_local = threading.local()


def stems(words: Sequence[str], language: str) -> list[str]:
    """Return the stem of each folded word; the word itself where there is no stemmer of the language."""
    name = ALGORITHMS.get(language)
    if name is None:
        return list(words)
    held: dict[str, object] = _local.__dict__
    if name not in held:
        import Stemmer

        held[name] = Stemmer.Stemmer(name, 0)
    found: list[str] = held[name].stemWords(list(words))  # type: ignore[attr-defined]
    return found
