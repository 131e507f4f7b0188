"""The index: the object a user holds.

with Index.create("indexes/handbook") as index:
    index.sync([Document("a", "How to book travel"), Document("b", "What you can claim back")])
    for hit in index.search("expenses for a train ticket").hits:
        print(hit.id, hit.similarity)
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from docsim.encoding.documents import encode_documents
from docsim.engine import opening
from docsim.engine.base import Engine
from docsim.engine.records import Counts, Generation, SourceName, StoredDocument
from docsim.errors import FingerprintMismatch, UsageError
from docsim.ingest import passages
from docsim.models import DEFAULT_MODE, Document, Entry, Failure, Mode, Passage, Ranking, SearchResult, SyncReport
from docsim.progress import SILENT, Progress
from docsim.search.searcher import Query, Request, search

if TYPE_CHECKING:
    from docsim.analysis.attribution import Attribution
    from docsim.analysis.duplicates import Duplicates
    from docsim.analysis.explain import Explanation, Spanned
    from docsim.analysis.topic_map import KnowledgeMap
    from docsim.encoding.encoder import Encoder
    from docsim.engine.base import Snapshot
    from docsim.filters.condition import Condition
    from docsim.filters.where import Where

__all__ = ["Index"]


class Index:
    """A knowledge base that can be searched; made with ``create`` or ``open``.

    Searching is safe from several threads. An open index sees what other processes commit at its next query.

    Attributes:
        path: Where the index is, as given.
        engine: What keeps it; ``engine.snapshot()`` is one committed state.
    """

    def __init__(self, engine: Engine, *, pinned: bool = False) -> None:
        """Use ``open`` or ``create``, or hand in an engine of your own.

        Args:
            engine: What keeps the index.
            pinned: Whether it was opened at one generation, and so only to be searched.
        """
        self.engine = engine
        self.path = Path(engine.address)
        self._pinned = pinned
        self._attribution: Attribution | None = None

    @classmethod
    def open(cls, path: str | Path, *, encoder: Encoder | None = None, generation: int | None = None) -> Index:
        """Open an index to search it, and to change it where it can be written to.

        Args:
            path: The index's directory.
            encoder: The encoder that you expect the index to answer with, to be checked.
            generation: Number of the generation to search, whatever its state. By default each query is answered by
                the generation that is live when it comes. A generation that is not live may lack documents.

        Raises:
            StoreError: There is no finished index or no such generation at ``path``, or it is damaged.
            FingerprintMismatch: The index answers with another encoder.
        """
        index = cls(opening.open_engine(path, generation=generation), pinned=generation is not None)
        try:
            found = index.generation()
            if encoder is not None:
                _check_same(encoder, found, index)
        except BaseException:
            index.close()
            raise
        return index

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        encoder: Encoder | None = None,
        index_type: str | None = None,
        recall: float | None = None,
        wait: bool = False,
    ) -> Index:
        """Open the index at ``path``, making it first when there is none.

        Args:
            path: The index's directory; its parents are made too.
            encoder: The encoder of a new index, which is copied into it; by default the one in the package.
            index_type: ``auto``, ``flat``, ``ivf``, ``hnsw`` or a FAISS factory string, used from the next sync on. By
                default what the index has, which is ``auto`` for a new one.
            recall: Share of the ten nearest passages that an approximate index has to find. By default what the index
                has, which is 0.95 for a new one.
            wait: Wait for another process that is writing, however long it takes.

        Raises:
            UsageError: There is no such index type or recall.
            FingerprintMismatch: There is an index already, with another encoder.
            IndexLocked: Another process is writing to it and ``wait`` is off.
            StoreError: The directory holds something else.
        """
        opening.create_engine(path, encoder=encoder, index_type=index_type, recall=recall, wait=wait)
        return cls.open(path, encoder=encoder)

    def at(self, generation: int) -> Index:
        """Open the same index again, to search one generation, whatever its state."""
        return Index(self.engine.at(generation), pinned=True)

    def close(self) -> None:
        """Close the index; safe to call twice."""
        self.engine.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What it holds

    def generation(self) -> Generation:
        """Return the live generation, or the one that the index was opened at.

        Raises:
            StoreError: The index was never finished, or there is no such generation.
        """
        return self.engine.generation()

    @property
    def encoder(self) -> Encoder:
        """The generation's encoder, loaded when first asked for.

        Raises:
            FingerprintMismatch: The encoder kept in the index is not the one that made its embeddings.
            EncoderError: It is missing or damaged.
        """
        return self.engine.encoder

    def counts(self) -> Counts:
        """Return how many documents and passages there are."""
        with self.engine.snapshot() as snapshot:
            return snapshot.counts()

    def has(self, id: str) -> bool:
        """Return whether a document with this id is indexed."""
        return self.engine.sources().number(id) is not None

    def document(self, id: str) -> StoredDocument:
        """Return an indexed document.

        Raises:
            UsageError: There is none with this id.
        """
        with self.engine.snapshot() as snapshot:
            return self._stored(snapshot, id)

    def passages(self, id: str) -> list[Passage]:
        """Return the passages of an indexed document, in order.

        Raises:
            UsageError: There is none with this id.
        """
        with self.engine.snapshot() as snapshot:
            number = self._stored(snapshot, id).number
            return snapshot.passages([number])[number]

    def _stored(self, snapshot: Snapshot, id: str) -> StoredDocument:
        number = snapshot.number(id)
        if number is None:
            raise UsageError(f"expected the id of an indexed document, found none named {id!r} in {self.path}")
        return snapshot.documents([number])[number]

    # Writing

    def sync(
        self,
        documents: Iterable[Document | Entry | Failure],
        *,
        source: SourceName | None = None,
        prune: bool | None = None,
        dry_run: bool = False,
        wait: bool = False,
        progress: Progress = SILENT,
    ) -> SyncReport:
        """Make what the index holds of one source equal to ``documents``; only what is new or changed is encoded.

        Work is committed batch by batch. Stopped at any point and run again, it continues; a document's old version
        answers until its new one is committed.

        Args:
            documents: The source's documents, in any order, read once as a stream.
            source: Where they come from; a sync of one source does not prune the documents of another.
            prune: Whether to remove what the source no longer has. By default yes, unless that would be unsafe: the
                source has nothing left at all, is standard input, or holds records too broken to tell their ids.
            dry_run: Only count what would be done.
            wait: Wait for another process that is writing, however long it takes.
            progress: Its ``advance`` is called once for every document. Call ``begin`` before if you know how many
                documents there are.

        Returns:
            What was done. A document that could not be read is in ``failures`` and stops no other.

        Raises:
            IndexLocked: Another process is writing and ``wait`` is off.
            StoreError: The index cannot be written to; what was committed before stays.
        """
        from docsim.indexing.sync import Plan, Sync  # here, because searching does without

        self._check_writable()
        source = source or SourceName("python", "python", "python")
        if dry_run:
            return Plan(self.engine.sources(), source).run(documents, prune=prune, progress=progress)
        with self.engine.writer(wait=wait) as writer:
            report = Sync(writer, source, encoder=self.encoder).run(documents, prune=prune, progress=progress)
            writer.optimize()
        return report

    def remove(self, ids: Iterable[str], *, wait: bool = False) -> int:
        """Remove documents by id, in one transaction; return how many there were.

        A source that still has them brings them back at its next sync.

        Raises:
            IndexLocked: Another process is writing and ``wait`` is off.
        """
        self._check_writable()
        with self.engine.writer(wait=wait) as writer:
            with writer.transaction():
                found = [number for id in dict.fromkeys(ids) if (number := writer.number(id)) is not None]
                for number in found:
                    writer.remove(number)
            writer.optimize()
        return len(found)

    def _check_writable(self) -> None:
        if self._pinned:
            raise UsageError(
                f"expected the index at {self.path} opened without a generation, to write to it; it was opened at "
                f"generation {self.generation().number}"
            )

    # Searching

    def search(
        self,
        text: str,
        k: int = 10,
        *,
        mode: Mode = DEFAULT_MODE,
        where: Where = None,
        within: str = "",
        ranking: Ranking | None = None,
    ) -> SearchResult:
        """Return the documents most like a text, best first.

        Args:
            text: A question, a few words or a whole document; a long one is compared passage by passage.
            k: Hits to return, at least 1; fewer come back only when fewer documents qualify.
            mode: What ranks.
            where: Return only documents whose metadata meet this: an expression such as ``"team = 'sre'"``, or a
                mapping of values by field name.
            within: Return only documents whose id is this path or lies below it.
            ranking: How hits are chosen from the documents found; the best first when not given.

        Raises:
            UsageError: ``text`` is blank, ``k`` below 1, there is no such mode, or ``where`` cannot be read.
        """
        return self.search_many([text], k, mode=mode, where=where, within=within, ranking=ranking)[0]

    def search_many(
        self,
        texts: Sequence[str],
        k: int = 10,
        *,
        mode: Mode = DEFAULT_MODE,
        where: Where = None,
        within: str = "",
        ranking: Ranking | None = None,
    ) -> list[SearchResult]:
        """Return ``search`` of each text, encoded together."""
        started = time.perf_counter()
        request = Request(k, mode, ranking or Ranking(), _condition(where, within))
        if isinstance(texts, str) or not all(text.strip() for text in texts):
            raise UsageError(f"expected texts to search for, none of them blank, got {texts!r:.200}")
        documents = [Document("query", text) for text in texts]
        return self._answer([(one.text, one) for one in documents], request, started=started)

    def similar(
        self,
        id: str,
        k: int = 10,
        *,
        mode: Mode = DEFAULT_MODE,
        where: Where = None,
        within: str = "",
        ranking: Ranking | None = None,
    ) -> SearchResult:
        """Return the documents most like an indexed one, best first, never itself; the rest is as in ``search``.

        Raises:
            UsageError: There is no such document or mode, ``k`` is below 1, or ``where`` cannot be read.
        """
        started = time.perf_counter()
        request = Request(k, mode, ranking or Ranking(), _condition(where, within))
        with self.engine.snapshot() as snapshot:
            stored = self._stored(snapshot, id)
            vectors = snapshot.embeddings(np.array([stored.number], np.int64))[0].astype(np.float32)
            query = Query(id, stored.document, vectors, exclude=stored.number)
            return search(snapshot, [query], request, started=started)[0]

    def similar_to(
        self,
        document: Document,
        k: int = 10,
        *,
        file: Path | None = None,
        mode: Mode = DEFAULT_MODE,
        where: Where = None,
        within: str = "",
        ranking: Ranking | None = None,
    ) -> SearchResult:
        """Return the documents most like any document, which is encoded with its title; the rest is as in ``search``.

        Args:
            document: Need not be indexed.
            k: Hits to return, at least 1.
            file: The file that it was read from; if that file is indexed, it is not returned itself.
            mode: What ranks.
            where: What the metadata of hits have to meet.
            within: The path that hits have to be below.
            ranking: How hits are chosen.

        Raises:
            UsageError: ``k`` is below 1, there is no such mode, or ``where`` cannot be read.
        """
        started = time.perf_counter()
        request = Request(k, mode, ranking or Ranking(), _condition(where, within))
        exclude = self.engine.sources().read_from(file.resolve()) if file else None
        return self._answer([(document.id, document)], request, exclude=exclude, started=started)[0]

    def _answer(
        self,
        asked: Sequence[tuple[str, Document]],
        request: Request,
        *,
        started: float,
        exclude: int | None = None,
    ) -> list[SearchResult]:
        """Encode documents as indexed ones are, and search for them, given with the queries' names."""
        self.engine.prepare()
        with self.engine.snapshot(encoder=True) as snapshot:
            vectors = encode_documents(snapshot.encoder, [document for _, document in asked])
            queries = [Query(*named, each, exclude) for named, each in zip(asked, vectors, strict=True)]
            return search(snapshot, queries, request, started=started)

    # Analysis

    def explain(self, a: str | Document, b: str | Document, *, pairs: int = 3) -> Explanation:
        """Tell why two documents are similar: passages that match, words that carry the match, terms in common.

        Args:
            a: An indexed document's id, or any document; a question is ``Document("query", text)``.
            b: What it is compared with, likewise.
            pairs: Pairs of passages to tell about, at most, at least 1.

        Raises:
            UsageError: There is no such document, or ``pairs`` is below 1.
        """
        if pairs < 1:
            raise UsageError(f"expected at least 1 pair of passages to explain, got {pairs}")
        from docsim.analysis.attribution import Attribution
        from docsim.analysis.explain import explained

        with self.engine.snapshot(encoder=True) as snapshot:
            if self._attribution is None or self._attribution.encoder is not snapshot.encoder:
                self._attribution = Attribution(snapshot.encoder)
            sides = [self._spanned(snapshot, side) for side in (a, b)]
            return explained(snapshot, self._attribution, *sides, pairs=pairs)

    def duplicates(self, *, threshold: float | None = None, progress: Progress = SILENT) -> Duplicates:
        """Find documents that say the same in the same words: equal, nearly equal, or one contained in another.

        Args:
            threshold: Share of the wording, in (0, 1], that near-duplicates have in common at least; by default chosen
                by what is common in this index.
            progress: Told what is being done.

        Raises:
            UsageError: ``threshold`` is out of range.
        """
        from docsim.analysis import duplicates

        with self.engine.snapshot() as snapshot:
            return duplicates.find(snapshot, threshold=threshold, progress=progress)

    def map(self, *, seed: int = 0) -> KnowledgeMap:
        """Lay out all documents in two dimensions, grouped by topic.

        Args:
            seed: The same seed gives the same map of the same documents.

        Raises:
            StoreError: Nothing is indexed.
        """
        from docsim.analysis import topic_map

        with self.engine.snapshot() as snapshot:
            return topic_map.knowledge_map(snapshot, seed=seed)

    def _spanned(self, snapshot: Snapshot, side: str | Document) -> Spanned:
        from docsim.analysis.explain import Spanned

        if isinstance(side, Document):
            return Spanned(side, passages.split(side.text))
        stored = self._stored(snapshot, side)
        return Spanned(stored.document, snapshot.passages([stored.number])[stored.number])


def _condition(where: Where, within: str) -> Condition | None:
    if where is None and not within:
        return None
    from docsim.filters.where import wanted

    return wanted(where, within)


def _check_same(encoder: Encoder, generation: Generation, index: Index) -> None:
    """Raise ``FingerprintMismatch`` unless ``encoder`` made the embeddings of ``generation``."""
    if encoder.fingerprint != generation.fingerprint:
        raise FingerprintMismatch(
            f"the index at {index.path} answers only with its own encoder, {generation.encoder} (fingerprint "
            f"{generation.fingerprint[:12]}); found {encoder.name} (fingerprint {encoder.fingerprint[:12]}) at "
            f"{encoder.path}",
            hint=f"docsim reindex --index {index.path} --encoder {encoder.path}",
        )
