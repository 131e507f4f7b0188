"""Word-level tokenizers for a given vocabulary, and how much of a corpus such a vocabulary covers.

Texts are normalised as the vocabulary is: to lower case if it is lower-case, without accents if it has none. They are
split at white space and around each punctuation mark. Words of the vocabulary with punctuation between letters, such
as ``co-founder`` and ``1,000``, are kept whole. Id 0 is padding, id 1 stands for every unknown word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from docsim.errors import TrainingError

__all__ = ["PADDING", "UNKNOWN", "UNKNOWN_ID", "Coverage", "WordVocabulary", "coverage", "vocabulary"]

PADDING, UNKNOWN = "[PAD]", "[UNK]"
UNKNOWN_ID = 1

_CASED = 0.01  # a vocabulary with a smaller share of words in upper case is taken to be lower-case
_MOST_COMPOUNDS = 10_000  # words with punctuation inside; each makes the tokenizer slower to load and run
_COMPOUND = re.compile(r"\w.*\w", re.DOTALL)
_SPACE = re.compile(r"\s")
_SURROGATES = re.compile("[\ud800-\udfff]")
_CHARACTERS = 1 << 18  # of text that are tokenized at a time
_MOST_UNKNOWN = 500_000  # distinct unknown words that are counted, to bound memory


@dataclass(frozen=True, slots=True)
class WordVocabulary:
    """A word-level tokenizer and the words that its ids stand for.

    Attributes:
        tokenizer: A ``WordLevel`` tokenizer that adds no special tokens.
        tokens: Token of each id.
        rows: ``int64 (len(tokens) - 2,)``: for each id from 2 on, the position of its word among the given words.
    """

    tokenizer: Tokenizer
    tokens: tuple[str, ...]
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of some texts a vocabulary covers, not counting punctuation.

    Attributes:
        tokens: Number of words in the texts.
        known_tokens: Number of words in the texts that are known.
        words: Number of distinct words in the texts.
        known_words: Number of distinct words in the texts that are known.
        unknown: Unknown words and their counts, most frequent first.
    """

    tokens: int
    known_tokens: int
    words: int
    known_words: int
    unknown: tuple[tuple[str, int], ...]

    @property
    def token_share(self) -> float:
        """Share of the texts' words that are known, in [0, 1]."""
        return self.known_tokens / self.tokens if self.tokens else 0.0

    @property
    def word_share(self) -> float:
        """Share of the texts' distinct words that are known, in [0, 1]."""
        return self.known_words / self.words if self.words else 0.0

    def with_known(self, words: Collection[str]) -> Coverage:
        """Return the coverage of a vocabulary that also knows some of the unknown words."""
        unknown = tuple(item for item in self.unknown if item[0] not in words)
        known_tokens = self.tokens - sum(count for _, count in unknown)
        return replace(self, known_tokens=known_tokens, known_words=self.words - len(unknown), unknown=unknown)


def vocabulary(words: Sequence[str]) -> WordVocabulary:
    """Return a tokenizer for those words that can occur in a text; of words that are normalised to the same, the first.

    Args:
        words: Words, the more frequent ones first.

    Raises:
        TrainingError: No word can occur in a text.
    """
    blank = _tokenizer({PADDING: 0, UNKNOWN: UNKNOWN_ID}, words)
    tokens: dict[str, int] = {}
    compounds: list[str] = []
    for row, word in enumerate(words):
        token = blank.normalizer.normalize_str(word)
        if token in tokens or not token or _SPACE.search(token):
            continue
        if token.isalnum() or len(blank.pre_tokenizer.pre_tokenize_str(token)) == 1:
            tokens[token] = row
        elif len(compounds) < _MOST_COMPOUNDS and _COMPOUND.fullmatch(token):
            tokens[token] = row
            compounds.append(token)
    if not tokens:
        raise TrainingError("expected word vectors of words that can occur in a text; got none")
    ids = {token: place for place, token in enumerate((PADDING, UNKNOWN, *tokens))}
    tokenizer = _tokenizer(ids, words)
    tokenizer.add_tokens([AddedToken(token, single_word=True, normalized=True) for token in compounds])
    return WordVocabulary(tokenizer, tuple(ids), np.array([*tokens.values()], dtype=np.int64))


def _tokenizer(ids: dict[str, int], words: Sequence[str]) -> Tokenizer:
    """Return a tokenizer with the given ids that normalises texts as ``words`` are normalised."""
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    steps = [normalizers.NFC()]
    if all(word.isascii() for word in words):
        steps = [normalizers.NFD(), normalizers.StripAccents()]
    cased = sum(word != word.lower() for word in words)
    if cased < _CASED * len(words):
        steps.append(normalizers.Lowercase())
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def coverage(texts: Iterable[str], vocabulary: WordVocabulary) -> Coverage:
    """Return how much of some texts a vocabulary covers. The texts are read once, a few at a time."""
    counts = np.zeros(len(vocabulary.tokens), dtype=np.int64)
    unknown = Counter[str]()
    for lines in _batches(texts):
        for line, encoding in zip(lines, vocabulary.tokenizer.encode_batch(lines), strict=True):
            ids = np.array(encoding.ids, dtype=np.int64)
            np.add.at(counts, ids, 1)
            places = encoding.offsets
            unknown.update(line[slice(*places[token])] for token in np.flatnonzero(ids == UNKNOWN_ID))
        if len(unknown) > _MOST_UNKNOWN:
            unknown = Counter(dict(unknown.most_common(_MOST_UNKNOWN // 2)))
    normalizer = vocabulary.tokenizer.normalizer
    missing = Counter[str]()
    for word, count in unknown.items():
        if _is_word(word):
            missing[normalizer.normalize_str(word)] += count
    counts[[not _is_word(token) or id <= UNKNOWN_ID for id, token in enumerate(vocabulary.tokens)]] = 0
    known_tokens, known_words = int(counts.sum()), int((counts > 0).sum())
    ordered = tuple(sorted(missing.items(), key=lambda item: (-item[1], item[0])))
    return Coverage(known_tokens + missing.total(), known_tokens, known_words + len(missing), known_words, ordered)


def _is_word(token: str) -> bool:
    return any(character.isalnum() for character in token)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Split texts into lines, and group these; no word continues over the end of a line."""
    batch: list[str] = []
    size = 0
    for text in texts:
        for line in _SURROGATES.sub("\ufffd", text).splitlines():
            batch.append(line)
            size += len(line)
            if size >= _CHARACTERS:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch
