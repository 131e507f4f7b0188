"""The texts that the contextual encoder learns from: questions, titles, keywords, sentences and passages.

People ask in few words and documents answer in many, so 3 of 4 texts are short. Besides what ``default_texts`` takes
from Wikipedia, papers, textbooks and C++ documentation, there are texts that look like what people type:

- questions that stand in the documents;
- titles as they are, and put as a question by a template;
- the telling words of a sentence alone, in their order;
- sentences in lower case without punctuation.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import default_texts
import numpy as np
from default_texts import Page

SHARES = {"question": 0.08, "title": 0.16, "asked": 0.13, "keywords": 0.11, "plain": 0.1, "sentence": 0.15, "run": 0.27}
"""How many of the texts are of each kind."""

ASKED = (
    "how do I {}", "how to {}", "what is {}", "what does {} mean", "where can I find {}", "why does {} not work",
    "who is responsible for {}", "when should I use {}", "can I {}", "is there a way to {}", "{} does not work",
    "problem with {}", "I need help with {}", "how does {} work", "what happens when {}",
    "difference between {} and {}", "which {} should I choose", "tell me about {}", "I can't {} anymore",
    "what should I do about {}",
)  # fmt: skip
"""Templates of questions; a title takes the place of the braces."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"\w[\w'-]*")
_MOST_OF_A_KIND = 4  # texts of one kind that are taken from one document
_LEAST_RUN, _MOST_RUN = 25, 110  # words
_COMMON = 200  # words that are too frequent to tell anything


def texts(data: Path, *, seed: int, most: int, share: float = 1.0) -> list[str]:
    """Return about ``most`` different texts in a random order, the same for the same seed and files.

    Args:
        data: Folder of the training texts.
        seed: Seed of the choice.
        most: Number of texts.
        share: Share of the documents that are read.
    """
    random = np.random.default_rng([seed, 23])
    pages = [page for page in default_texts.pages(data) if random.random() < share]
    common = _common(pages)
    kinds: dict[str, dict[str, None]] = {kind: {} for kind in SHARES}
    for page in (pages[row] for row in random.permutation(len(pages))):
        for kind, text in _of(page, pages, common, random):
            if len(kinds[kind]) < most * SHARES[kind]:
                kinds[kind].setdefault(text)
    found = list(dict.fromkeys(text for texts in kinds.values() for text in texts))
    return [found[row] for row in random.permutation(len(found))]


def _common(pages: list[Page]) -> set[str]:
    counts = Counter(word.lower() for page in pages[:: max(1, len(pages) // 5000)] for word in _WORD.findall(page.text))
    return {word for word, _ in counts.most_common(_COMMON)}


def _of(page: Page, pages: list[Page], common: set[str], random: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Yield texts of a page with their kinds."""
    sentences = [one for one in _SENTENCE.split(page.text) if 4 <= len(one.split()) <= 60]
    yield from (("question", one) for one in sentences if one.endswith("?"))
    if page.title:
        yield "title", page.title
        other = pages[int(random.integers(len(pages)))].title
        title = page.title if random.random() < 0.3 else page.title[:1].lower() + page.title[1:]
        yield "asked", str(random.choice(ASKED)).format(title, other) + ("?" if random.random() < 0.5 else "")
    if not sentences:
        return
    chosen = [sentences[row] for row in random.permutation(len(sentences))[: 3 * _MOST_OF_A_KIND]]
    for one in chosen[:_MOST_OF_A_KIND]:
        yield "sentence", one
    for one in chosen[_MOST_OF_A_KIND : 2 * _MOST_OF_A_KIND]:
        yield "plain", " ".join(_WORD.findall(one.lower())[:16])
    for one in chosen[2 * _MOST_OF_A_KIND :]:
        telling = [word for word in _WORD.findall(one.lower()) if word not in common]
        if len(telling) >= 2:
            kept = sorted(random.permutation(len(telling))[: int(random.integers(2, 7))].tolist())
            yield "keywords", " ".join(telling[row] for row in kept)
    yield from (("run", text) for text in _runs(sentences, random))


def _runs(sentences: list[str], random: np.random.Generator) -> Iterator[str]:
    """Yield runs of whole sentences, 25 to 110 words each."""
    words: list[str] = []
    wanted, found = float(random.uniform(_LEAST_RUN, _MOST_RUN)), 0
    for sentence in sentences:
        words += sentence.split()
        if len(words) >= wanted:
            yield " ".join(words[:_MOST_RUN])
            words, wanted, found = [], float(random.uniform(_LEAST_RUN, _MOST_RUN)), found + 1
        if found == _MOST_OF_A_KIND:
            return
