"""Makes the vocabulary of an encoder smaller: tokens that people hardly write are left out, and then read in pieces.

BERT's vocabulary has 994 tokens that stand for nothing, and thousands of names and words of novels. A word is
as frequent as it is among the texts or in everyday English, whichever is more; ``wordfreq`` (from PyPI) knows the
latter, from subtitles, news, forums and books. So words of the office stay that are rare in encyclopaedias.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np
import wordfreq
from numpy.typing import NDArray
from tokenizers import Tokenizer

__all__ = ["smaller"]

WORDS, PIECES = 2_500, 1_300
"""How many words and pieces of words are left out, the rarest first."""

_RESERVED = re.compile(r"\[unused\d+\]")
_BATCH = 20_000


def smaller(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[Tokenizer, list[int]]:
    """Return a WordPiece tokenizer with fewer tokens, and which of the old ids they had, in their new order.

    Special tokens, single characters and all that is not ASCII stay, so every text can still be read.

    Args:
        tokenizer: One whose id 0 is no token's; it stays the id of padding.
        texts: What tells how frequent tokens are.
    """
    content = json.loads(tokenizer.to_str())
    vocabulary: dict[str, int] = content["model"]["vocab"]
    dropped = _dropped(vocabulary, _counts(tokenizer, texts, 1 + max(vocabulary.values())))
    kept = [0, *sorted(id for token, id in vocabulary.items() if token not in dropped)]
    new = {old: id for id, old in enumerate(kept)}
    content["model"]["vocab"] = {token: new[id] for token, id in vocabulary.items() if id in new}
    for one in content["added_tokens"]:
        one["id"] = new[one["id"]]
    for one in content["post_processor"]["special_tokens"].values():
        one["ids"] = [new[id] for id in one["ids"]]
    return Tokenizer.from_str(json.dumps(content)), kept


def _dropped(vocabulary: dict[str, int], counts: NDArray[np.int64]) -> set[str]:
    per_token = counts.sum() / 1e9  # wordfreq tells how often a word stands among a thousand million

    def frequency(token: str) -> tuple[float, str]:
        everyday = 0.0 if token.startswith("##") else 10 ** wordfreq.zipf_frequency(token, "en", "large") * per_token
        return max(everyday, float(counts[vocabulary[token]])), token

    long = [token for token in vocabulary if token.isascii() and len(token.removeprefix("##")) > 1 and token[0] != "["]
    pieces = [token for token in long if token.startswith("##")]
    words = [token for token in long if token.isalpha()]
    rarest = [
        token for tokens, most in ((words, WORDS), (pieces, PIECES)) for token in sorted(tokens, key=frequency)[:most]
    ]
    return {*filter(_RESERVED.fullmatch, vocabulary), *rarest}


def _counts(tokenizer: Tokenizer, texts: Sequence[str], ids: int) -> NDArray[np.int64]:
    counts = np.zeros(ids, np.int64)
    for start in range(0, len(texts), _BATCH):
        for one in tokenizer.encode_batch_fast(texts[start : start + _BATCH]):
            np.add.at(counts, one.ids, 1)
    return counts
