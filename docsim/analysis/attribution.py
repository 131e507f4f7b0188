"""Attribution: how much each word of two texts contributes to their similarity.

The pre-normalised embedding of an ``average`` tower is a sum of one vector a token, so the similarity of two texts is a
sum over pairs of tokens: ``<a_i, b_j> / (|sum a| |sum b|)``. Added up by words, that is what each word contributes,
exactly: the contributions of all words of a text sum to the similarity. Whether a tower is such a sum is found out by
trying, not by its kind. For other towers a word contributes what the similarity loses when it is left out ("occlusion",
Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901); those numbers rank words and sum to nothing in particular.
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
from docsim.encoding.tokenizer import Token
from docsim.runtime import onnxruntime

__all__ = ["Attributed", "Attribution", "Link", "Word"]

_WORD = re.compile(r"\w+|[^\w\s]")
_MOST_LINKS = 20
_TOLERANCE = 1e-4  # of a unit row's components
_TRIED = ("How do I rotate the signing keys of a service?", "a a a b", "Holiday: 25 days, carried over until March.")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text, ``text[start:end]``, and its share of the similarity; negative if it speaks against it."""

    text: str
    start: int
    end: int
    contribution: float


@dataclass(frozen=True, slots=True)
class Link:
    """A word of the one text, a word of the other, and what the pair contributes wherever the two stand."""

    a: str
    b: str
    contribution: float


@dataclass(frozen=True, slots=True)
class Attributed:
    """The similarity of two texts, and where it comes from.

    Attributes:
        similarity: Inner product of the two embeddings, in [-1, 1].
        a: The words of the first text, in order.
        b: The words of the second text, in order.
        links: The pairs of words that contribute most, best first; empty unless the attribution is exact.
    """

    similarity: float
    a: tuple[Word, ...]
    b: tuple[Word, ...]
    links: tuple[Link, ...]


class Attribution:
    """Tells which words carry the similarity of two texts.

    Attributes:
        encoder: What is explained.
        exact: Whether contributions sum to the similarity; otherwise they come from leaving words out.
    """

    def __init__(self, encoder: Encoder) -> None:
        """Prepare to explain one encoder."""
        self.encoder = encoder
        self._tower = _unscaled(encoder)
        self.exact = self._tower is not None and self._is_sum()

    def of(self, a: str, b: str) -> Attributed:
        """Return the similarity of two texts, by words.

        Args:
            a: A text as it is encoded.
            b: Another.
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
        """Return the spans of a text's words, and what each adds to the sum, float64 ``(words, dim)``."""
        tokens = self.encoder.tokens(text)
        spans, starts = _grouped(text, tokens)
        return spans, np.add.reduceat(self._token_vectors(tokens), starts, axis=0)

    def _token_vectors(self, tokens: Sequence[Token]) -> NDArray[np.float64]:
        """Return what each token adds to the sum, float64 ``(len(tokens), dim)``."""
        assert self._tower is not None
        column = np.array([token.id for token in tokens], dtype=np.int32)[:, None]
        found: NDArray[np.float64] = self._tower.run(None, {self._tower.get_inputs()[0].name: column})[0].astype(
            np.float64
        )
        found = found[:, : self.encoder.dim]  # of an encoder that keeps the leading components only
        shares: NDArray[np.float64] = np.array([token.share for token in tokens])
        found *= shares[:, None]
        return found

    def _is_sum(self) -> bool:
        """Return whether texts' embeddings are the normalised sums of their tokens' vectors."""
        sums = np.stack([self._token_vectors(self.encoder.tokens(text)).sum(axis=0) for text in _TRIED])
        lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-15)
        return bool(np.abs(sums / lengths - self.encoder.encode(_TRIED)).max() < _TOLERANCE)

    def _by_occlusion(self, a: str, b: str) -> Attributed:
        rows = self.encoder.encode([a, b])
        similarity = float(rows[0] @ rows[1])
        return Attributed(
            similarity, self._losses(a, rows[1], similarity), self._losses(b, rows[0], similarity), links=()
        )

    def _losses(self, text: str, other: NDArray[np.float32], similarity: float) -> tuple[Word, ...]:
        """Return a text's words with what the similarity loses without them, shared out among a word's occurrences."""
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


def _unscaled(encoder: Encoder) -> onnxruntime.InferenceSession | None:
    """Return a session that gives what an encoder's tower scales to length one, or None if that cannot be told."""
    try:
        import onnx
    except ImportError:  # comes with what training needs; words are left out one by one instead
        return None
    model = onnx.load(str(encoder.path / ONNX_FILE))
    graph = model.graph
    maker = next(node for node in graph.node if graph.output[0].name in node.output)
    if maker.op_type != "Div":
        return None
    graph.output[0].name = maker.input[0]
    graph.node.remove(maker)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def _grouped(text: str, tokens: Sequence[Token]) -> tuple[list[tuple[int, int]], list[int]]:
    """Put tokens together into words.

    Returns:
        The span of each word, and the place of each word's first token; a token that stands for no character, or for
        several words, is a word of its own.
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
    """Return the pairs of words, whatever their case and wherever they stand, that contribute most."""
    (rows, left), (columns, right) = (_distinct(words) for words in (a, b))
    table = np.zeros((len(left), len(right)))
    np.add.at(table, (rows[:, None], columns[None, :]), shares)
    best = np.argsort(-table, axis=None, kind="stable")[:_MOST_LINKS]
    places = zip(*np.unravel_index(best, table.shape), strict=True)
    return tuple(Link(left[i], right[j], float(table[i, j])) for i, j in places if table[i, j] > 0)


def _distinct(words: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Return for each word the place of its lower-cased form in a list of them, and that list."""
    places: dict[str, int] = {}
    numbers = [places.setdefault(word.casefold(), len(places)) for word in words]
    return np.array(numbers, dtype=np.int64), list(places)


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """Return a text with some spans, in order, cut out."""
    ends = [0, *(end for _, end in spans)]
    starts = [*(start for start, _ in spans), len(text)]
    return "".join(text[end:start] for end, start in zip(ends, starts, strict=True))
