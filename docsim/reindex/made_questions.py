"""Questions made from documents, for an index without judgements: each has to find the document it was made from.

    spans        a part cut out of a document, like a document that is compared with others
    questions    what a person might type: a title, a heading, a question in the text, the first sentence of a
                 paragraph, or a few telling words

What is asked is taken out of the document. By the words that both still share, any encoder would find the document. So
half of these are struck from a span, and half of a question's words are struck from the document. A reader is shown
the text as it stands in the document.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from docsim.models import Document

__all__ = ["QUESTIONS", "SPANS", "CorpusWords", "MadeQuestion", "made_questions", "made_span"]

SPANS = "spans"
QUESTIONS = "questions"

_SPAN_WORDS = (8, 40)  # the smallest and largest number of words in a span
_REST_WORDS = 30  # the least number of words in the rest of the document; a shorter document is cut in the middle
_LEAST_WORDS = 12  # of a document that can be cut
_KEPT_WORDS = 5  # if removing shared words would leave fewer, all words are kept
_STRIKE = 0.5  # the probability with which a shared word is removed
_QUESTION_WORDS = (2, 25)  # the smallest and largest number of words in a question
_HEADING_WORDS = 12  # the largest number of words in a heading
_TELLING_WORDS = (3, 7)  # the smallest and largest number of telling words
_PARAGRAPH_WORDS = 20  # the least number of words in a paragraph that telling words are taken from
_PROSE = 0.75  # the least share of letters and spaces in a text that a person can read
_SHOWN = 160  # characters of a paragraph that a reader is shown
_MOST_CHARACTERS = 50_000  # questions come from this many leading characters of a document

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # Thai to Chinese
_WORD = re.compile(rf"[{_UNSPACED}]{{1,2}}|[^\s{_UNSPACED}]+")
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")
_SENTENCE_END = re.compile(r"[.!?…]+[\"')\]]*(?=\s|$)|[。！？]|\n")
_MARKUP = re.compile(r"^(?:[#>*+\-=~]+|\d+[.)])\s+|[*`]+|\s*\{#[^}]*\}$")
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)")
_PARAGRAPH = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class MadeQuestion:
    """A question made from a document.

    Attributes:
        kind: ``SPANS`` or ``QUESTIONS``.
        text: What is asked.
        shown: The same for a reader, as it stands in the document.
        rest: The document without it.
        left: How much of what the document shares with a question the rest still does, by the rarity of words, in
            [0, 1].
    """

    kind: str
    text: str
    shown: str
    rest: Document
    left: float = 1.0


@dataclass(frozen=True, slots=True)
class CorpusWords:
    """In how many documents of a corpus each word and each short line occurs.

    Attributes:
        documents: How many documents were counted.
        words: How many hold each word.
        lines: How many hold each short line, or have it as their title.
    """

    documents: int
    words: Counter[str]
    lines: Counter[str]

    @classmethod
    def counted(cls, documents: Iterable[Document]) -> CorpusWords:
        """Count the words and short lines of some documents."""
        number, words, lines = 0, Counter[str](), Counter[str]()
        for document in documents:
            number += 1
            text = document.text[:_MOST_CHARACTERS]
            words.update({_key(word) for word in _words(text)})
            lines.update({_plain(line).casefold() for line in (document.title, *text.splitlines()) if len(line) < 200})
        return cls(number, words, lines)

    def rarity(self, word: str) -> float:
        """Return the inverse document frequency of a word, at least 0."""
        return math.log((1 + self.documents) / (1 + self.words[word]))


def made_span(document: Document, turn: int = 0) -> MadeQuestion | None:
    """Cut a span out of a document; None if it is too short. The same arguments always give the same span."""
    text = document.text[:_MOST_CHARACTERS]
    words = list(_WORD.finditer(text))
    if len(words) < _LEAST_WORDS:
        return None
    random = _random(document, f"{turn}")
    start, stop = _place(text, words, random)
    first, last = words[start].start(), words[stop - 1].end()
    rest = f"{text[:first]} {text[last:]}"
    shared = {_key(word.group()) for word in words[start:stop]} & {_key(word) for word in _words(rest)}
    struck = {word for word in sorted(shared) if random.random() < _STRIKE}
    kept = [word.group() for word in words[start:stop] if _key(word.group()) not in struck]
    asked = " ".join(kept) if len(kept) >= _KEPT_WORDS else text[first:last]
    shown = f"{'' if start == 0 else '... '}{_line(text[first:last])}{'' if stop == len(words) else ' ...'}"
    return MadeQuestion(SPANS, asked, shown, replace(document, text=rest.strip()))


def made_questions(document: Document, corpus: CorpusWords, most: int = 1) -> list[MadeQuestion]:
    """Return up to ``most`` different questions to which a document is the answer.

    Sentences that ask something come first, then title and headings, then the others: the more a text is like a
    question, the better it tells what training does to people's questions (docs/concepts/gate.md). The same arguments
    always give the same questions.
    """
    document = replace(document, text=document.text[:_MOST_CHARACTERS])
    random = _random(document, "questions")
    made: dict[str, MadeQuestion] = {}
    for sort in _sorts(document, corpus, random):
        texts = list(sort)
        for text, shown in random.sample(texts, len(texts)):
            question = _question(document, text, corpus, random) if len(made) < most else None
            if question is not None:
                made.setdefault(text.casefold(), replace(question, shown=shown))
    return list(made.values())


def _sorts(document: Document, corpus: CorpusWords, random: Random) -> Iterator[Iterable[tuple[str, str]]]:
    """Yield the texts of each sort that may be a question, and what a reader is shown, most like people's first."""
    lines = [line for line in map(_plain, document.text.splitlines()) if line]
    sentences = (sentence for line in lines for sentence in _sentences(line))
    asking = [one for one in sentences if one.endswith(("?", "？"))]
    headings = [document.title.strip(), *filter(_is_heading, lines)]
    yield from ([(one, one) for one in some if _is_question(one, corpus)] for some in (asking, headings))
    paragraphs = [_plain(_line(part)) for part in _PARAGRAPH.split(document.text)]
    paragraphs = [part for part in paragraphs if len(_words(part)) >= _PARAGRAPH_WORDS and _is_prose(part)]
    first = [next(iter(_sentences(part)), "") for part in paragraphs]
    chosen = random.sample(paragraphs, min(len(paragraphs), 10))
    telling = [(_telling(part, corpus, random), part) for part in chosen]
    shown = [(one, one) for one in first] + [(words, f"{words} (from: {_clipped(part)})") for words, part in telling]
    yield [(one, read) for one, read in shown if _is_question(one, corpus)]


def _clipped(text: str) -> str:
    """Return the beginning of a text, up to the end of a word."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN].rsplit(' ', 1)[0]} ..."


def _is_question(text: str, corpus: CorpusWords) -> bool:
    """Return whether a text is as long as a question, can be read, and is not said in several documents."""
    count = len(_words(text))
    fits = _QUESTION_WORDS[0] <= count <= _QUESTION_WORDS[1]
    return fits and _is_prose(text) and corpus.lines[text.casefold()] <= 1


def _is_prose(text: str) -> bool:
    """Return whether a text is mostly letters and spaces, and no row of a table, path or piece of code."""
    return sum(one.isalpha() or one.isspace() for one in text) >= _PROSE * len(text)


def _is_heading(line: str) -> bool:
    return len(_words(line)) <= _HEADING_WORDS and line[-1:].isalnum() and not line[:1].islower()


def _telling(paragraph: str, corpus: CorpusWords, random: Random) -> str:
    """Return the words of a paragraph that tell most about it, in their order."""
    words = {_key(word): None for word in _words(_plain(_line(paragraph)))}
    letters = [word for word in words if len(word) > 1 and not word.isdecimal()]
    telling = sorted(letters, key=lambda word: -corpus.rarity(word) * min(1, corpus.words[word] - 0.5))
    chosen = set(telling[: random.randint(*_TELLING_WORDS)])
    return " ".join(word for word in letters if word in chosen)


def _question(document: Document, text: str, corpus: CorpusWords, random: Random) -> MadeQuestion | None:
    """Take a question, and half of its words, out of a document; None if too little is left of either."""
    asked = sorted({_key(word) for word in _words(text)})
    struck = {word for word in asked if random.random() < _STRIKE}
    title = "" if _plain(document.title).casefold() == text.casefold() else document.title
    without = "\n".join(_without(line, text) for line in document.text.splitlines())
    rest = _WORD.sub(lambda word: "" if _key(word.group()) in struck else word.group(), without)
    if not _QUESTION_WORDS[0] <= len(_words(text)) or len(_words(rest)) < _KEPT_WORDS:
        return None
    left = _weight(asked, f"{title} {rest}", corpus) / (_weight(asked, document.text, corpus) or 1)
    return MadeQuestion(QUESTIONS, text, text, Document(document.id, rest, title), min(1.0, left))


def _weight(asked: Iterable[str], text: str, corpus: CorpusWords) -> float:
    """Return the summed rarity of the words that a text holds."""
    held = {_key(word) for word in _words(text)}
    return sum(corpus.rarity(word) for word in asked if word in held)


def _without(line: str, text: str) -> str:
    """Return a line without a text that it holds, whatever its markup."""
    plain = _plain(line)
    return plain.replace(text, " ") if text in plain else line


def _place(text: str, words: Sequence[re.Match[str]], random: Random) -> tuple[int, int]:
    """Return the first word of a span and the one after its last; it begins with a sentence if it can."""
    most = max(len(words) // 2, min(_SPAN_WORDS[1], len(words) - _REST_WORDS))
    length = random.randint(min(_SPAN_WORDS[0], most), min(_SPAN_WORDS[1], most))
    starts = [
        place
        for place in range(len(words) - length + 1)
        if place == 0 or _SENTENCE_END.search(text, words[place - 1].start(), words[place].start())
    ]
    start = random.choice(starts) if len(starts) > 1 else random.randint(0, len(words) - length)
    return start, start + length


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for end in _SENTENCE_END.finditer(text):
        yield text[start : end.end()].strip()
        start = end.end()
    if text[start:].strip():
        yield text[start:].strip()


def _plain(line: str) -> str:
    """Return a line without the markup of headings, lists, emphasis and links."""
    return _MARKUP.sub("", _LINK.sub(r"\1", line.strip())).strip()


def _line(text: str) -> str:
    return " ".join(text.split())


def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def _key(word: str) -> str:
    return _EDGES.sub("", word).casefold()


def _random(document: Document, purpose: str) -> Random:
    return Random(hashlib.sha256(f"{purpose} {document.id}\n{document.text}".encode("utf-8", "replace")).digest())
