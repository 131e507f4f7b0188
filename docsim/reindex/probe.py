"""The probe: questions made from the documents of an index, to be asked of two of its generations.

They are made as ``docsim.reindex.made_questions`` says. What is left of a document without its question is embedded
again, and takes the document's place among all other documents. Spans are compared by embeddings alone, and questions
in hybrid mode, as people ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.documents import encode_documents, encode_texts
from docsim.engine.base import Snapshot
from docsim.engine.records import StoredDocument
from docsim.engine.retrying import retried
from docsim.engine.snapshot import TextMatches
from docsim.evaluation.judgements import Qrels
from docsim.index import Index
from docsim.models import Document
from docsim.reindex.made_questions import SPANS, CorpusWords, MadeQuestion, made_questions, made_span
from docsim.reindex.questions import DEPTH, Answer, Found
from docsim.search import scoring, vocabulary
from docsim.search.fusion import Fusion
from docsim.search.query_terms import query_terms
from docsim.search.retrieval import share_for

__all__ = ["MOST_EACH_KIND", "Probe", "from_documents"]

MOST_EACH_KIND = 300
"""The largest number of spans, and of questions, that are asked."""

_TOGETHER = 64  # documents per batch
_LEAST_DOCUMENTS = 10  # with fewer documents held out of training, questions come from all documents
_MOST_EACH = 10  # the largest number of questions of one kind from one document
_COUNTED = 2_000  # documents whose words are counted
_NEIGHBOURS = 50  # the documents of this many nearest passages are ranked
_MATCHING = 50  # and, for questions, this many that match best by words


@dataclass(frozen=True, slots=True)
class Probe:
    """Questions made from documents, each of which has to find its document.

    Attributes:
        questions: The questions, by id.
        numbers: The number of the document that each was made from.
        source: What kind of questions they are, for people.
        metrics: The metrics to compute.
    """

    questions: Mapping[str, MadeQuestion]
    numbers: Mapping[str, int]
    source: str
    metrics: Sequence[str] = ("nDCG@10", "RR@10")  # not recall: the document of a question is always ranked

    @property
    def texts(self) -> Mapping[str, str]:
        """The questions as they stand in the documents, by id."""
        return {id: one.shown for id, one in self.questions.items()}

    @property
    def kinds(self) -> Mapping[str, str]:
        """``SPANS`` or ``QUESTIONS``, by id."""
        return {id: one.kind for id, one in self.questions.items()}

    @property
    def qrels(self) -> Qrels:
        """For each question, the document that it was made from."""
        return {id: {one.rest.id: 1} for id, one in self.questions.items()}

    @retried
    def ask(self, index: Index) -> dict[str, Answer]:
        """Return the documents found for each question; of its own document, the rest is ranked.

        A question whose document has been removed since is left out.
        """
        encoder = index.encoder
        asked = list(self.questions.values())
        queries = encode_texts(encoder, [one.text for one in asked], role="query")
        rests = encode_documents(encoder, [one.rest for one in asked])
        with index.engine.snapshot() as snapshot:
            nearest = snapshot.knn(queries, _NEIGHBOURS).documents
            embedded, held = snapshot.embedded(), snapshot.passage_counts()
            answers = {}
            for id, query, near, rest in zip(self.questions, queries, nearest, rests, strict=True):
                question, number = self.questions[id], self.numbers[id]
                if number not in held:
                    continue
                words = _words_of(snapshot, question)
                others = np.union1d(near, words.best(_MATCHING)) if words else near
                numbers = np.append(np.setdiff1d(np.intersect1d(others, embedded), [number]), number)
                rows = [*snapshot.embeddings(numbers[:-1]), rest.astype(np.float16)]
                scored = scoring.scored(query[None], rows, nothing=vocabulary.nothing(snapshot))
                scores = scored.scores
                if words:
                    share = share_for(snapshot, Document("question", question.text), long=False)
                    scores = _fused(scored.scores, words.of(numbers), question.left, share)
                answers[id] = _answer(snapshot, numbers, scores, scored.similarities)
            return answers


@retried
def from_documents(index: Index, *, only: Sequence[str] = (), seed: int = 0) -> Probe:
    """Make questions from documents of an index: one of each kind from each, or several if there are few documents.

    Args:
        index: The index.
        only: Ids of the documents that were held out of training, since an encoder finds what it was trained on too
            easily. If there are fewer than ten, questions come from all documents.
        seed: Decides which documents are sampled, if there are more than 300.
    """
    with index.engine.snapshot() as snapshot:
        numbers = list(snapshot.passage_counts())
        Random(seed).shuffle(numbers)
        corpus = CorpusWords.counted(one.document for one in _read(snapshot, numbers[:_COUNTED]))
        unseen = [number for id in only if (number := snapshot.number(id)) is not None]
        if len(unseen) >= _LEAST_DOCUMENTS:
            each = max(1, min(_MOST_EACH, MOST_EACH_KIND // len(unseen)))
            made = _made(_read(snapshot, unseen), corpus, each=each)
            return _probe(made, "made from documents unseen in training")
        return _probe(_made(_read(snapshot, numbers), corpus, each=1), "made from documents")


def _probe(made: Sequence[tuple[StoredDocument, MadeQuestion]], source: str) -> Probe:
    ids = [f"{stored.document.id} #{number}" for number, (stored, _) in enumerate(made, start=1)]
    questions = {id: question for id, (_, question) in zip(ids, made, strict=True)}
    numbers = {id: stored.number for id, (stored, _) in zip(ids, made, strict=True)}
    return Probe(questions, numbers, source)


def _read(snapshot: Snapshot, numbers: Sequence[int]) -> Iterator[StoredDocument]:
    """Yield documents in the order of ``numbers``, with only one batch in memory."""
    for start in range(0, len(numbers), _TOGETHER):
        some = numbers[start : start + _TOGETHER]
        documents = snapshot.documents(some)
        yield from (documents[number] for number in some)


def _made(
    documents: Iterator[StoredDocument], corpus: CorpusWords, *, each: int
) -> list[tuple[StoredDocument, MadeQuestion]]:
    """Make questions from documents until there are enough of both kinds; documents that are too short give none."""
    spans: list[tuple[StoredDocument, MadeQuestion]] = []
    questions: list[tuple[StoredDocument, MadeQuestion]] = []
    for stored in documents:
        cut = (made_span(stored.document, turn) for turn in range(each))
        spans += [(stored, span) for span in cut if span is not None]
        questions += [(stored, question) for question in made_questions(stored.document, corpus, each)]
        if min(len(spans), len(questions)) >= MOST_EACH_KIND:
            break
    return spans[:MOST_EACH_KIND] + questions[:MOST_EACH_KIND]


def _words_of(snapshot: Snapshot, question: MadeQuestion) -> TextMatches | None:
    """Return what matches a question by words; None for a span, which is compared by embeddings alone."""
    if question.kind == SPANS:
        return None
    return snapshot.text_search(query_terms(snapshot, Document("question", question.text)).telling)


def _fused(dense: NDArray[np.float32], lexical: NDArray[np.float32], left: float, share: float) -> NDArray[np.float32]:
    """Return the hybrid scores of documents, the last of which holds only a part of the question's words."""
    lexical = lexical.copy()
    lexical[-1] *= left
    return Fusion.fitted(dense, lexical, share=share).scores(dense, lexical)


def _answer(
    snapshot: Snapshot,
    numbers: NDArray[np.int64],
    scores: NDArray[np.float32],
    similarities: Sequence[NDArray[np.float32]],
) -> Answer:
    """Return scored documents, best first."""
    order = np.argsort(-scores, kind="stable")[:DEPTH].tolist()
    documents = snapshot.documents(numbers[order].tolist())
    found = []
    for place in order:
        stored = documents.get(int(numbers[place]))
        if stored is not None:
            found.append(Found(stored.document.id, stored.document.title, float(similarities[place].max())))
    return found
