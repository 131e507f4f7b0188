"""A corpus with topics, and a small encoder that knows nothing of them: training must find them.

Each topic has words of two kinds. A document's first half uses those of one kind, its second half those of the other,
so no word tells which halves belong together; only training on documents does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

from docsim.models import Document

if TYPE_CHECKING:
    from docsim.training.towers.saving import EncoderParts

TOPICS = 12
WORDS = 6  # of each kind
COMMON = 20
DIM = 24


def word(topic: int, kind: str, number: int) -> str:
    return f"{kind}{topic}x{number}"


def text(topic: int, kind: str, random: np.random.Generator, *, length: int = 16) -> str:
    """Half of the words are the topic's, half are common to all."""
    own = [word(topic, kind, int(n)) for n in random.integers(0, WORDS, length)]
    return " ".join(w if random.random() < 0.5 else f"c{random.integers(0, COMMON)}" for w in own)


def documents(count: int = 120, *, seed: int = 0) -> list[Document]:
    random = np.random.default_rng(seed)
    halves = ((n, text(n % TOPICS, "a", random), text(n % TOPICS, "b", random)) for n in range(count))
    return [Document(f"topic{n % TOPICS}/{n}", f"{first} {second}") for n, first, second in halves]


def tokenizer() -> Tokenizer:
    entries = ["[PAD]", "[UNK]", *_entries()]
    made = Tokenizer(models.WordLevel({entry: n for n, entry in enumerate(entries)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def _entries() -> Iterator[str]:
    yield from (f"c{n}" for n in range(COMMON))
    yield from (word(topic, kind, n) for topic in range(TOPICS) for kind in "ab" for n in range(WORDS))


def parts(*, seed: int = 0) -> EncoderParts:
    """An ``average`` tower of random token vectors, ready to be trained."""
    from docsim.encoding.encoder import Preprocessing
    from docsim.training.towers.average import average_tower
    from docsim.training.towers.saving import EncoderParts

    made = tokenizer()
    vectors = np.random.default_rng(seed).normal(size=(made.get_vocab_size(), DIM)).astype(np.float32)
    tower = average_tower(vectors, storage="float32")
    return EncoderParts(tower, made, Preprocessing(padding_id=0, empty_id=1, special_tokens=False), "average", 64)
