"""Reading: what is asked of an index, seen by somebody. Every route answers through here.

Each answer is read from one committed state, whose revision it names. What somebody may not see is left out by a filter
of the search itself, so that fewer hits never come back, and looked at once more before it is told. A document that
they may not see is told exactly like one that is not there.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from docsim.analysis.attribution import Attribution, attribution
from docsim.analysis.explain import PAIRS, explained, spanned
from docsim.encoding.documents import encode_documents
from docsim.engine.base import Snapshot
from docsim.engine.records import StoredDocument
from docsim.engine.retrying import retried
from docsim.filters.condition import Condition, Under, all_of
from docsim.filters.where import Where, wanted
from docsim.index import Index
from docsim.maintenance.status import read_generations, read_status
from docsim.models import DEFAULT_MODE, Correction, Document, Hit, Mode, PassageHit, Ranking, SearchResult
from docsim.search import scoring
from docsim.search.highlighting import highlighted
from docsim.search.questions import questions
from docsim.search.retrieval import Query
from docsim.search.searcher import Request, search
from docsim.search.suggestions import Completion, completions
from docsim.serving.access import Access, Rules
from docsim.serving.catalogue import Catalogue
from docsim.serving.files import Files
from docsim.serving.problems import Problem
from docsim.serving.use import Use

__all__ = ["Asked", "Reading"]

Answer = dict[str, Any]

_NEGATIVE = 1.0
"""How far what is wanted is moved away from negative examples, in units of the distance to them."""

_PATH = re.compile(r"(?:/[^\s/]+)*/([^\s/]+)")

_COMPARED = 10
"""So many of the best hits are compared with a text, word by word, to see whether one is the same."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for in a search.

    Attributes:
        k: How many hits.
        mode: What ranks.
        where: What metadata have to be like.
        within: Below which path ids have to lie.
        ranking: How hits are chosen.
        explain: Whether to say why each hit is one.
        plain: Whether a question is taken as it is: no operators, no corrections.
        at_least: The revision that the answer has to have at least.
        also: What documents have to meet besides.
        highlight: Whether to say where the passages of an answer hold what a question asked for.
    """

    k: int = 10
    mode: Mode = DEFAULT_MODE
    where: Where = None
    within: str = ""
    ranking: Ranking = field(default_factory=Ranking)
    explain: bool = False
    at_least: int = 0
    plain: bool = False
    also: Condition | None = None
    highlight: bool = True

    def condition(self) -> Condition | None:
        """Return what documents have to meet; None where all will do.

        Raises:
            UsageError: The filter cannot be read.
        """
        conditions = [one for one in (wanted(self.where, self.within), self.also) if one is not None]
        return all_of(conditions) if conditions else None


@dataclass(slots=True)
class Reading:
    """An open index and who may see what of it; safe to use from several threads.

    Attributes:
        index: The index.
        rules: Which groups see which documents.
        use: Records what is asked, if anything is recorded.
        catalogue: Its documents in order.
        files: The files that they were read from.
    """

    index: Index
    rules: Rules
    use: Use = field(default_factory=Use)
    catalogue: Catalogue = field(init=False)
    files: Files = field(init=False)
    _attribution: Attribution | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.catalogue = Catalogue(self.index.engine, self.rules)
        self.files = Files(self.index)

    @property
    def name(self) -> str:
        """The name of the index: that of its directory."""
        return _spelled_out(self.index.path.name)

    # Searching

    def search(self, access: Access, text: str, asked: Asked) -> Answer:
        """Answer a question, as ``docsim query --json`` does.

        Raises:
            Problem: The text is blank, or the index is older than asked for.
            UsageError: The filter cannot be read.
        """
        _check_text(text)

        def query(snapshot: Snapshot, request: Request) -> Query:
            return questions(snapshot, [text], request)[0]

        return self._answer(access, query, asked, reason=Document("query", text), question=True)

    def similar_to(self, access: Access, document: Document, asked: Asked) -> Answer:
        """Return what is similar to any document, and, under ``same``, the ids of hits with the very same text.

        Raises:
            Problem: The text is blank, or the index is older than asked for.
            UsageError: The filter cannot be read.
        """
        _check_text(document.text)

        def query(snapshot: Snapshot, _: Request) -> Query:
            return Query(document.id, document, encode_documents(snapshot.encoder, [document])[0])

        answer = self._answer(access, query, asked, reason=document)
        shown, _, _ = self._confirmed(access, [hit["id"] for hit in answer["hits"][:_COMPARED]])
        return answer | {"same": [one.id for one in shown if one.text.split() == document.text.split()]}

    def similar(self, access: Access, positive: Sequence[str], negative: Sequence[str], asked: Asked) -> Answer:
        """Return what is similar to some indexed documents, and unlike others; none of them is a hit.

        Args:
            access: What may be seen; that goes for the examples, too.
            positive: Ids of documents that hits are to resemble, at least one.
            negative: Ids of documents that hits are to differ from.
            asked: What else is asked for.

        Raises:
            Problem: One of the documents is not there for whoever asks.
        """
        if not positive:
            raise Problem(400, "expected at least one id of a document that hits are to resemble, got none")

        def query(snapshot: Snapshot, _: Request) -> Query:
            groups = [[_visible(snapshot, access, id) for id in dict.fromkeys(ids)] for ids in (positive, negative)]
            return _example(snapshot, *groups)

        return self._answer(access, query, asked, reason=positive[0])

    def _answer(
        self,
        access: Access,
        query: Callable[[Snapshot, Request], Query],
        asked: Asked,
        *,
        reason: str | Document,
        question: bool = False,
    ) -> Answer:
        """Answer a query that is made in the state that is searched, and say of which hits the files have changed."""
        answer = self._searched(access, query, asked, reason=reason, question=question)
        for id, stale in self.files.stale([hit["id"] for hit in answer["hits"]]).items():
            next(hit for hit in answer["hits"] if hit["id"] == id)["stale"] = stale
        return answer

    @retried
    def _searched(
        self,
        access: Access,
        query: Callable[[Snapshot, Request], Query],
        asked: Asked,
        *,
        reason: str | Document,
        question: bool,
    ) -> Answer:
        started = time.perf_counter()
        condition = access.restricted(asked.condition())
        request = Request(asked.k, asked.mode, asked.ranking, condition, asked.plain, access.restricted(None))
        self.index.engine.prepare()
        with self.index.engine.snapshot(encoder=True) as snapshot:
            _check(snapshot, asked.at_least)
            found = self._seen(access, search(snapshot, [query(snapshot, request)], request, started=started)[0])
            answer = _told(highlighted(found) if question and asked.highlight else found) | {
                "revision": snapshot.revision
            }
            if asked.explain:
                for hit in answer["hits"]:
                    hit["explain"] = self._explained(snapshot, access, reason, hit["id"], pairs=1)
        return answer

    def _seen(self, access: Access, result: SearchResult) -> SearchResult:
        """Return a result without what somebody may not see: the filter has left it out already."""
        hits = tuple(one for one in result.hits if access.sees_groups(self.rules.groups(one.id, one.metadata)))
        return replace(result, hits=hits)

    # Explaining

    @retried
    def explain(self, access: Access, a: str | Document, b: str, *, pairs: int = PAIRS) -> Answer:
        """Explain why two documents, or a text and a document, are similar, as ``docsim explain --json`` does.

        Raises:
            Problem: One of the documents is not there for whoever asks.
        """
        with self.index.engine.snapshot(encoder=True) as snapshot:
            found = self._explained(snapshot, access, a, b, pairs=pairs)
            return found | {"revision": snapshot.revision}

    def _explained(self, snapshot: Snapshot, access: Access, a: str | Document, b: str, *, pairs: int) -> Answer:
        known = self._attribution = attribution(snapshot.encoder, self._attribution)
        for side in (a, b):
            if isinstance(side, str):
                _visible(snapshot, access, side)
        sides = [spanned(snapshot, side) for side in (a, b)]
        found = asdict(explained(snapshot, known, *sides, pairs=pairs))
        if access.viewer.groups is not None:  # in how many documents a term is would count those of others
            terms = [one | {"documents": None} for one in found["terms"]]
            found["terms"] = sorted(terms, key=lambda one: str(one["term"]))
        return found

    # Documents

    def document(self, access: Access, id: str, *, at_least: int = 0) -> Answer:
        """Return a document as ``docsim show --json`` does.

        Raises:
            Problem: It is not there for whoever asks.
        """
        return self._shown(access, id, at_least) | {"stale": self.files.stale([id]).get(id)}

    @retried
    def _shown(self, access: Access, id: str, at_least: int) -> Answer:
        with self.index.engine.snapshot() as snapshot:
            _check(snapshot, at_least)
            stored = _visible(snapshot, access, id)
            document, passages = stored.document, snapshot.passages([stored.number])[stored.number]
            head = {"id": document.id, "title": document.title, "metadata": document.metadata, "text": document.text}
            return {**head, "passages": [asdict(one) for one in passages], "revision": snapshot.revision}

    def documents(self, access: Access, *, after: str, limit: int, within: str = "", at_least: int = 0) -> Answer:
        """Return documents in the order of their ids, and the id to go on after; None at the end."""
        below = Under(within).path if within else ""
        found = self.catalogue.after(after, access, within=below, at_least=at_least)
        listed = list(islice(found, limit + 1))
        shown, revision, total = self._confirmed(access, [one.id for one in listed[:limit]], within=within)
        documents = [{"id": one.id, "title": one.title, "metadata": one.metadata} for one in shown]
        following = listed[limit - 1].id if len(listed) > limit else None
        return {"documents": documents, "next": following, "total": total, "revision": revision}

    def suggest(self, access: Access, text: str, limit: int) -> Answer:
        """Return documents whose titles, or words in them, begin with a text, and the text with its word completed."""
        if not text.strip():
            return {"suggestions": [], "words": []}
        shown, _, _ = self._confirmed(access, [one.id for one in islice(self.catalogue.beginning(text, access), limit)])
        words = [asdict(one) for one in self._completions(access, text, limit)]
        return {"suggestions": [{"id": one.id, "title": one.title} for one in shown], "words": words}

    @retried
    def _completions(self, access: Access, text: str, limit: int) -> tuple[Completion, ...]:
        with self.index.engine.snapshot() as snapshot:
            return completions(snapshot, text, limit, where=access.restricted(None))

    @retried
    def _confirmed(self, access: Access, ids: Sequence[str], *, within: str = "") -> tuple[list[Document], int, int]:
        """Return those that are still there and may be seen, the revision, and how many there are in all."""
        with self.index.engine.snapshot() as snapshot:
            shown = [one for one in (_found(snapshot, access, id) for id in ids) if one]
            return [one.document for one in shown], snapshot.revision, _count(snapshot, access, within)

    # The index

    @retried
    def status(self, access: Access) -> Answer:
        """Return what the index holds: to somebody who sees all, as ``docsim status --json`` does."""
        with self.index.engine.snapshot() as snapshot:
            revision, documents = snapshot.revision, _count(snapshot, access)
            generation, encoder = snapshot.generation.number, snapshot.fingerprint
        if access.viewer.groups is None:
            found = asdict(read_status(self.index))
            return {"name": self.name} | found | {"index": _spelled_out(found["index"]), "revision": revision}
        return {
            "name": self.name,
            "documents": documents,
            "generation": generation,
            "encoder": encoder,
            "revision": revision,
        }

    def generations(self) -> Answer:
        """Return the generations, as ``docsim generations --json`` does."""
        return {"generations": [asdict(one) for one in read_generations(self.index)]}

    def failures(self) -> Answer:
        """Return the documents that could not be read the last time."""
        return {"failures": [asdict(one) for one in self.index.engine.sources().failures()]}


def _told(result: SearchResult) -> Answer:
    """Return a result as ``asdict`` does, without copying what is in it, which takes longer than all else here."""
    hits = [_fields(hit) | {"passages": [_fields(one) for one in hit.passages]} for hit in result.hits]
    corrections = [_fields(one) for one in result.corrections]
    warnings = [_PATH.sub(r"\1", one) for one in result.warnings]  # where files lie is nobody's business
    return _fields(result) | {"hits": hits, "corrections": corrections, "warnings": warnings}


def _fields(record: SearchResult | Hit | PassageHit | Correction) -> Answer:
    return {name: getattr(record, name) for name in record.__slots__}


def _check_text(text: str) -> None:
    if not text.strip():
        raise Problem(400, "expected a text to search for, got a blank one")


def _check(snapshot: Snapshot, at_least: int) -> None:
    if snapshot.revision < at_least:
        raise Problem(409, f"expected an index of revision {at_least} or later, found revision {snapshot.revision}")


def _found(snapshot: Snapshot, access: Access, id: str) -> StoredDocument | None:
    """Return a document if it is there and may be seen."""
    number = snapshot.number(id)
    stored = None if number is None else snapshot.documents([number]).get(number)
    return stored if stored is not None and access.sees(stored.document) else None


def _visible(snapshot: Snapshot, access: Access, id: str) -> StoredDocument:
    """Return a document.

    Raises:
        Problem: It is not there, or may not be seen, which is told in the same words.
    """
    found = _found(snapshot, access, id)
    if found is None:
        raise Problem(404, f"expected the id of an indexed document, found no document {id!r} in the index")
    return found


def _count(snapshot: Snapshot, access: Access, within: str = "") -> int:
    """Return how many documents somebody may see below a path."""
    condition = access.restricted(wanted(None, within))
    return snapshot.counts().documents if condition is None else snapshot.matching(condition)


def _example(snapshot: Snapshot, positive: Sequence[StoredDocument], negative: Sequence[StoredDocument]) -> Query:
    """Return the query that is like some documents and unlike others.

    One document alone is asked for with all its passages. Several become one direction: their mean, moved away from the
    mean of the negative ones (Rocchio's formula, with equal weights).
    """
    vectors = [list(_vectors(snapshot, each)) for each in (positive, negative)]
    document, name = positive[0].document, ", ".join(one.document.id for one in positive)
    exclude = tuple(sorted({one.number for one in (*positive, *negative)}))
    if len(positive) == 1 and not negative:
        return Query(name, document, vectors[0][0], exclude)
    like, unlike = ([scoring.centroid(one) for one in each] for each in vectors)
    wanted_direction = scoring.centroid(np.vstack(like))
    if unlike:
        away = wanted_direction + _NEGATIVE * (wanted_direction - scoring.centroid(np.vstack(unlike)))
        wanted_direction = scoring.centroid(away[None, :])
    text = "\n\n".join(f"{one.document.title}\n{one.document.text}" for one in positive)
    return Query(name, Document("examples", text), wanted_direction[None, :], exclude)


def _vectors(snapshot: Snapshot, documents: Sequence[StoredDocument]) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the embeddings of each document, ``float32 (its passages, dim)``."""
    numbers = np.array([one.number for one in documents], np.int64)
    for rows in snapshot.embeddings(numbers) if len(numbers) else ():
        yield rows.astype(np.float32)


def _spelled_out(path: str) -> str:
    """Return a path whose bytes that are not UTF-8 are spelled out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
