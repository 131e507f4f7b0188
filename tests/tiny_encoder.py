"""A small real encoder: a WordPiece tokenizer of some hundred entries and a random ``average`` tower of 32 components.

Every ASCII word has tokens, if only letter by letter, so unlike texts get unlike embeddings. Run as a script to write
one: ``python tests/tiny_encoder.py DIRECTORY``.
"""

from __future__ import annotations

import string
import sys
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

if TYPE_CHECKING:
    from docsim.training.towers.saving import EncoderParts

DIM = 32
MAX_TOKENS = 512

WORDS = """
the of to and in is it for on how do we you your this that not with
train ticket book keys signing rotate year every boil lentils until soft soup cook water
server deploy database backup restore password reset account team holiday leave report error
search index document text page cat dog house garden
""".split()  # noqa: SIM905


def tiny_tokenizer(*special: str) -> Tokenizer:
    """Return a WordPiece tokenizer of common words, letters, digits and punctuation, after ``special`` entries."""
    letters = string.ascii_lowercase + string.digits
    entries = ["[PAD]", "[UNK]", *special, *string.punctuation, *letters, *(f"##{letter}" for letter in letters)]
    entries += WORDS
    vocabulary = {entry: position for position, entry in enumerate(entries)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def tiny_parts(*, seed: int = 0) -> EncoderParts:
    """Return the parts of a small encoder; common words and letters weigh less than others."""
    from docsim.encoding.encoder import Preprocessing
    from docsim.training.towers.average import average_tower
    from docsim.training.towers.saving import EncoderParts

    tokenizer = tiny_tokenizer()
    entries = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    vectors = np.random.default_rng(seed).normal(size=(len(entries), DIM)).astype(np.float32)
    meaningful = np.array([len(entry) > 3 and not entry.startswith("[") for entry in entries])
    vectors *= np.where(meaningful, 1, 0.2).astype(np.float32)[:, None]
    preprocessing = Preprocessing(padding_id=0, empty_id=1, special_tokens=False, by_word=True)
    return EncoderParts(
        average_tower(vectors), tokenizer, preprocessing, kind="average", max_tokens=MAX_TOKENS, dims=(16,)
    )


if __name__ == "__main__":
    from docsim.training.towers.saving import Lineage, save

    save(tiny_parts(), sys.argv[1], name="tiny", lineage=Lineage(seed=0))
