"""Attribution: how much each word of two texts contributes to their similarity.

Before it is normalised, the embedding of an ``average`` tower is a sum of one vector per token. The similarity of two
texts is therefore a sum over pairs of tokens, ``<a_i, b_j> / (|sum a| |sum b|)``. Summed over the tokens of a word,
this is the exact contribution of the word: the contributions of all words of a text add up to the similarity. Whether a
tower is such a sum is tested with example texts, whatever its kind.

For other towers, the contribution of a word is the loss of similarity when it is left out ("occlusion", Zeiler and
Fergus 2014, https://arxiv.org/abs/1311.2901). These numbers rank the words of a text, but do not add up to anything.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import ONNX_FILE, Encoder
from docsim.encoding.onnx_unscaled import without_scaling
from docsim.encoding.tokenizer import TokenSpan
from docsim.encoding.tower_session import TowerSession

__all__ = ["Attributed", "Attribution", "Link", "Word", "attribution"]

_WORD = re.compile(r"\w+|[^\w\s]")
_MOST_LINKS = 20
_TOLERANCE = 1e-4  # the largest difference in a component of a unit row
_TRIED = ("How do I rotate the signing keys of a service?", "a a a b", "Holiday: 25 days, carried over until March.")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text and its contribution to the similarity.

    Attributes:
        text: The word, ``text[start:end]`` of the text.
        start: Offset of the first character.
        end: Offset one past the last character.
        contribution: How much it contributes; negative if the texts would be more similar without it.
    """

    text: str
    start: int
    end: int
    contribution: float


@dataclass(frozen=True, slots=True)
class Link:
    """A pair of words, one of each text, and its contribution to the similarity.

    Attributes:
        a: The word of the first text, in lower case.
        b: The word of the second text, in lower case.
        contribution: How much all occurrences of the pair contribute together.
    """

    a: str
    b: str
    contribution: float


@dataclass(frozen=True, slots=True)
class Attributed:
    """The similarity of two texts, attributed to their words.

    Attributes:
        similarity: The inner product of the two embeddings, in [-1, 1].
        a: The words of the first text, in order.
        b: The words of the second text, in order.
        links: The pairs of words that contribute most, the highest first; empty if contributions are not exact.
    """

    similarity: float
    a: tuple[Word, ...]
    b: tuple[Word, ...]
    links: tuple[Link, ...]


class Attribution:
    """Attributes the similarity of texts to their words, for one encoder.

    Attributes:
        encoder: The encoder.
        exact: Whether contributions are exact and add up to the similarity. If not, they come from leaving words out.
    """

    def __init__(self, encoder: Encoder) -> None:
        """Find out how similarities by an encoder can be attributed."""
        self.encoder = encoder
        self._tower = _unscaled(encoder)
        self.exact = self._tower is not None and self._is_sum()

    def of(self, a: str, b: str) -> Attributed:
        """Return the similarity of two texts and the contributions of their words.

        Args:
            a: One text, exactly as it is encoded.
            b: The other text, exactly as it is encoded.
        """
        return self._exactly(a, b) if self.exact else self._by_occlusion(a, b)

    def _exactly(self, a: str, b: str) -> Attributed:
        words, rows = zip(*(self._word_vectors(text) for text in (a, b)), strict=True)
        left, right = (each / max(float(np.linalg.norm(each.sum(axis=0))), 1e-15) for each in rows)
        shares = left @ right.T  # (words of a, words of b), float64
        return Attributed(
            float(shares.sum()),
            _words(a, words[0], shares.sum(axis=1)),
            _words(b, words[1], shares.sum(axis=0)),
            _links([a[slice(*span)] for span in words[0]], [b[slice(*span)] for span in words[1]], shares),
        )

    def _word_vectors(self, text: str) -> tuple[list[tuple[int, int]], NDArray[np.float64]]:
        """Return the spans of a text's words, and the vector that each adds to the sum, float64 ``(words, dim)``."""
        tokens = self.encoder.tokens(text)
        spans, starts = _grouped(text, tokens)
        return spans, np.add.reduceat(self._token_vectors(tokens), starts, axis=0)

    def _token_vectors(self, tokens: Sequence[TokenSpan]) -> NDArray[np.float64]:
        """Return the vector that each token adds to the sum, float64 ``(len(tokens), dim)``."""
        assert self._tower is not None
        column = np.array([token.id for token in tokens], dtype=np.int32)[:, None]
        found = self._tower.run(column).astype(np.float64)[:, : self.encoder.dim]  # it may keep the leading components
        shares: NDArray[np.float64] = np.array([token.share for token in tokens])
        found *= shares[:, None]
        return found

    def _is_sum(self) -> bool:
        """Return whether embeddings of example texts are the normalised sums of their tokens' vectors."""
        try:
            sums = np.stack([self._token_vectors(self.encoder.tokens(text)).sum(axis=0) for text in _TRIED])
        except Exception:  # ONNX Runtime has no error type of its own
            return False
        lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-15)
        return bool(np.abs(sums / lengths - self.encoder.encode(_TRIED)).max() < _TOLERANCE)

    def _by_occlusion(self, a: str, b: str) -> Attributed:
        rows = self.encoder.encode([a, b])
        similarity = float(rows[0] @ rows[1])
        return Attributed(
            similarity, self._losses(a, rows[1], similarity), self._losses(b, rows[0], similarity), links=()
        )

    def _losses(self, text: str, other: NDArray[np.float32], similarity: float) -> tuple[Word, ...]:
        """Return a text's words and the loss of similarity without each, divided among its occurrences."""
        spans = [span for span in _grouped(text, self.encoder.tokens(text))[0] if span[0] < span[1]]
        occurrences: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for start, end in spans:
            if text[start:end].isalnum():
                occurrences[text[start:end].casefold()].append((start, end))
        rows = self.encoder.encode([_without(text, each) for each in occurrences.values()])
        losses = (similarity - rows @ other).tolist()
        shares = {
            span: loss / len(each) for loss, each in zip(losses, occurrences.values(), strict=True) for span in each
        }
        return _words(text, spans, [shares.get(span, 0.0) for span in spans])


def attribution(encoder: Encoder, known: Attribution | None) -> Attribution:
    """Return what attributes similarities by an encoder; what is known already, if that is for this one."""
    return known if known is not None and known.encoder is encoder else Attribution(encoder)


def _unscaled(encoder: Encoder) -> TowerSession | None:
    """Return a tower that gives what an encoder's tower scales to length one, or None if that cannot be told."""
    model = without_scaling((encoder.path / ONNX_FILE).read_bytes())
    return None if model is None else TowerSession(model, encoder.kind)


def _grouped(text: str, tokens: Sequence[TokenSpan]) -> tuple[list[tuple[int, int]], list[int]]:
    """Group the tokens of a text into words.

    A token that stands for no character, or for several words, is a word of its own.

    Returns:
        The span of each word, and the position of each word's first token.
    """
    borders = [match.span() for match in _WORD.finditer(text)]
    ends = [end for _, end in borders]
    spans: list[tuple[int, int]] = []
    starts: list[int] = []
    for place, token in enumerate(tokens):
        start = token.start + len(text[token.start : token.end]) - len(text[token.start : token.end].lstrip())
        last = bisect_left(ends, token.end)
        end = max(token.end, ends[last]) if start < token.end and last < len(ends) else token.end
        if spans and start < token.end and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((start, max(start, end)))
            starts.append(place)
    return spans, starts


def _words(text: str, spans: Sequence[tuple[int, int]], shares: Iterable[float]) -> tuple[Word, ...]:
    return tuple(
        Word(text[start:end], start, end, float(share)) for (start, end), share in zip(spans, shares, strict=True)
    )


def _links(a: Sequence[str], b: Sequence[str], shares: NDArray[np.float64]) -> tuple[Link, ...]:
    """Return the pairs of words that contribute most. All occurrences of a pair in any case are added up."""
    (rows, left), (columns, right) = (_distinct(words) for words in (a, b))
    table = np.zeros((len(left), len(right)))
    np.add.at(table, (rows[:, None], columns[None, :]), shares)
    best = np.argsort(-table, axis=None, kind="stable")[:_MOST_LINKS]
    places = zip(*np.unravel_index(best, table.shape), strict=True)
    return tuple(Link(left[i], right[j], float(table[i, j])) for i, j in places if table[i, j] > 0)


def _distinct(words: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Return for each word the position of its lower-case form in a list of distinct ones, and that list."""
    places: dict[str, int] = {}
    numbers = [places.setdefault(word.casefold(), len(places)) for word in words]
    return np.array(numbers, dtype=np.int64), list(places)


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """Return a text without some spans of it, which are given in order."""
    ends = [0, *(end for _, end in spans)]
    starts = [*(start for start, _ in spans), len(text)]
    return "".join(text[end:start] for end, start in zip(ends, starts, strict=True))
