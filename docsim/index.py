"""The index: the one object a user holds. It joins encoder, vectors, store and ranking.

with Index.create("indexes/handbook") as index:
    index.sync([Document("a", "How to book travel"), Document("b", "What you can claim back")])
    for hit in index.search("expenses for a train ticket").hits:
        print(hit.id, hit.similarity)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from docsim.encoding.encoder import Encoder
from docsim.engine.local import encoders, snapshots
from docsim.engine.local.database import FILE
from docsim.engine.local.locks import writer
from docsim.engine.local.reader import Reader
from docsim.engine.local.store import Generation, Store, StoredDocument
from docsim.errors import StoreError, UsageError
from docsim.ingest import passages
from docsim.models import DEFAULT_MODE, Document, Entry, Failure, Mode, Ranking, SearchResult, SyncReport
from docsim.search import searcher
from docsim.search.searcher import Query, Request

if TYPE_CHECKING:
    from docsim.analysis.attribution import Attribution
    from docsim.analysis.duplicates import Advance, Duplicates
    from docsim.analysis.explain import Explanation, Spanned
    from docsim.analysis.topic_map import KnowledgeMap
    from docsim.filters.condition import Condition
    from docsim.filters.where import Where
    from docsim.indexing.sync import SourceName

__all__ = ["Index"]


class Index:
    """A knowledge base that answers; made with ``create`` or ``open``.

    Searching is safe from several threads. An open index sees what other processes commit at its next query.

    Attributes:
        path: The index's directory.
        reader: The index as searches see it; ``reader.reading()`` is one committed state.
    """

    def __init__(self, path: Path, *, generation: int | None = None) -> None:
        """Use ``open`` or ``create``."""
        self.path = path
        self.reader = Reader(path, generation=generation)
        self._attribution: Attribution | None = None

    @classmethod
    def open(cls, path: str | Path, *, encoder: Encoder | None = None, generation: int | None = None) -> Index:
        """Open an index to search it, and to sync it where its directory can be written to.

        Args:
            path: The index's directory.
            encoder: When given, the encoder that the caller expects the index to answer with.
            generation: Number of the generation to search, whatever its state; the one that is live when a query comes,
                when not given. A generation that is not live may lack documents.

        Raises:
            StoreError: There is no finished index or no such generation at ``path``, or it is damaged.
            FingerprintMismatch: The index answers with another encoder.
        """
        index = cls(Path(path), generation=generation)
        try:
            found = index.generation()
            if encoder is not None:
                encoders.check_same(encoder, found, index.path)
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
            encoder: What a new index encodes with, copied into it; the default encoder when not given.
            index_type: ``auto``, ``flat``, ``ivf``, ``hnsw`` or a FAISS factory string, from its next sync on; what it
                has, ``auto`` when new, when not given.
            recall: Share of the ten nearest passages that an approximate index has to find; what it has, 0.95 when new,
                when not given.
            wait: Wait for another process that is writing, however long it takes.

        Raises:
            UsageError: There is no such index type or recall.
            FingerprintMismatch: There is an index already, with another encoder.
            IndexLocked: Another process is writing to it and ``wait`` is off.
            StoreError: The directory holds something else.
        """
        path = Path(path)
        found = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
        if FILE not in found and found - {"write.lock", "generations", ".writable"}:
            raise StoreError(f"expected an index, or a new or empty directory, at {path}; found other files there")
        from docsim.engine.local import ann_tuning  # here, because searching does without

        ann_tuning.check(index_type, recall)
        with writer(path, wait=wait) as store:
            if store.generation() is None:
                snapshots.begin(store, path, encoder or Encoder.default())
            ann_tuning.choose(store, index_type, recall)
        return cls.open(path, encoder=encoder)

    def close(self) -> None:
        """Close the index; safe to call twice."""
        self.reader.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What it holds

    @property
    def store(self) -> Store:
        """The open database, for reading."""
        return self.reader.store

    def generation(self) -> Generation:
        """Return the live generation, or the one that the index was opened with.

        Raises:
            StoreError: The index was never finished, or there is no such generation.
        """
        return self.reader.generation()

    @property
    def encoder(self) -> Encoder:
        """The generation's encoder, loaded when first asked for.

        Raises:
            FingerprintMismatch: The encoder kept in the index is not the one its embeddings were made with.
            EncoderError: It is missing or damaged.
        """
        return self.reader.encoder

    def has(self, id: str) -> bool:
        """Return whether a document with this id is indexed."""
        return self.reader.store.document(id) is not None

    def document(self, id: str) -> StoredDocument:
        """Return an indexed document.

        Raises:
            UsageError: There is none with this id.
        """
        stored = self.reader.store.document(id)
        if stored is None:
            raise UsageError(f"expected the id of an indexed document, found none named {id!r} in {self.path}")
        return stored

    # Writing

    def sync(
        self,
        documents: Iterable[Document | Entry | Failure],
        *,
        source: SourceName | None = None,
        prune: bool | None = None,
        dry_run: bool = False,
        wait: bool = False,
        progress: Callable[[], object] | None = None,
    ) -> SyncReport:
        """Make what the index holds of one source equal to ``documents``; encode only what is new or changed.

        Work is committed batch by batch. Stopped anywhere and run again, it continues; until a document's new version
        is committed its old one answers.

        Args:
            documents: The source's documents, in any order, read once as a stream.
            source: What they come from; documents synced under one name do not prune those of another.
            prune: Remove what the source no longer has. When not given: yes, unless that would be unsafe - the source
                has nothing left at all, is standard input, or holds records too broken to tell their ids.
            dry_run: Only count.
            wait: Wait for another process that is writing, however long it takes.
            progress: Called once for every document.

        Returns:
            What was done. A document that could not be read is in ``failures`` and stops no other.

        Raises:
            IndexLocked: Another process is writing and ``wait`` is off.
            StoreError: The index cannot be written to; what was committed before stays.
        """
        from docsim.indexing.sync import Plan, SourceName, Sync  # here, because searching does without

        self._check_writable()
        source = source or SourceName("python", "python", "python")
        if dry_run:
            return Plan(self.reader.store, source).run(documents, prune=prune, progress=progress)
        with writer(self.path, wait=wait) as store:
            job = Sync(store, source, encoder=self.encoder, generation=self.generation().number)
            report = job.run(documents, prune=prune, progress=progress)
            snapshots.snapshot(store, self.path)
        return report

    def remove(self, ids: Iterable[str], *, wait: bool = False) -> int:
        """Remove documents by id, in one transaction; return how many there were.

        A source that still has them brings them back at its next sync.

        Raises:
            IndexLocked: Another process is writing and ``wait`` is off.
        """
        self._check_writable()
        with writer(self.path, wait=wait) as store:
            with store.writing():
                found = [stored for id in dict.fromkeys(ids) if (stored := store.document(id))]
                for stored in found:
                    store.remove(stored.number)
            snapshots.snapshot(store, self.path)
        return len(found)

    def _check_writable(self) -> None:
        if self.reader.pinned:
            raise UsageError(
                f"expected an index opened as it is, to write to it; got generation {self.reader.pinned} of it"
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
            text: A question, a few words or a whole document; a long one is compared by its passages.
            k: Hits to return, at least 1; fewer come back only when fewer documents qualify.
            mode: What ranks.
            where: Return only documents whose metadata meets this: an expression such as ``"team = 'sre'"``, or
                a mapping of values by field name.
            within: Return only documents whose id is this path or lies below it.
            ranking: How hits are chosen from what is found; the best first when not given.

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
        asked = [Document("query", text) for text in texts]
        return self.reader.answer(asked, [document.text for document in asked], request, started=started)

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
        with self.reader.reading() as view:
            stored = self.document(id)
            vectors = self.reader.store.vectors(view.generation.number, [stored.number])[stored.number]
            query = Query(id, stored.document, view.mapped(vectors).astype(np.float32), exclude=stored.number)
            of = self.reader.encoder_of
            return searcher.answers(self.reader.store, view, [query], request, encoder_of=of, started=started)[0]

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

        ``file`` is where it was read from; if that file is indexed, it is not returned itself.

        Raises:
            UsageError: ``k`` is below 1, there is no such mode, or ``where`` cannot be read.
        """
        started = time.perf_counter()
        request = Request(k, mode, ranking or Ranking(), _condition(where, within))
        exclude = self.reader.store.read_from(file.resolve()) if file else None
        return self.reader.answer([document], [document.id], request, exclude=exclude, started=started)[0]

    def explain(self, a: str | Document, b: str | Document, *, pairs: int = 3) -> Explanation:
        """Tell why two documents are similar: passages that match, words that carry the match, terms in common.

        Args:
            a: An indexed document's id, or any document; a question is ``Document("query", text)``.
            b: What it is compared with, likewise.
            pairs: Pairs of passages to tell of, at most, at least 1.

        Raises:
            UsageError: There is no such document, or ``pairs`` is below 1.
        """
        if pairs < 1:
            raise UsageError(f"expected at least 1 pair of passages to explain, got {pairs}")
        from docsim.analysis.attribution import Attribution
        from docsim.analysis.explain import explained

        with self.reader.asking() as (encoder, _):
            if self._attribution is None or self._attribution.encoder is not encoder:
                self._attribution = Attribution(encoder)
            sides = [self._spanned(side) for side in (a, b)]
            return explained(self.reader.store, self._attribution, *sides, pairs=pairs)

    def duplicates(self, *, threshold: float | None = None, advance: Advance | None = None) -> Duplicates:
        """Find documents that say the same in the same words: equal, nearly equal, or one contained in another.

        Args:
            threshold: Share of the wording, in (0, 1], that near-duplicates have in common at least; chosen by what
                is common in this index when not given.
            advance: Told what is being done, how much of it was done since, and how much there is.

        Raises:
            UsageError: ``threshold`` is out of range.
        """
        from docsim.analysis import duplicates

        with self.reader.reading() as view:
            return duplicates.find(self.reader.store, view, threshold=threshold, advance=advance)

    def map(self, *, seed: int = 0) -> KnowledgeMap:
        """Lay out all documents in two dimensions, grouped by topic.

        Args:
            seed: The same gives the same map of the same documents.

        Raises:
            StoreError: Nothing is indexed.
        """
        from docsim.analysis import topic_map

        with self.reader.reading() as view:
            return topic_map.knowledge_map(self.reader.store, view, seed=seed)

    def _spanned(self, side: str | Document) -> Spanned:
        from docsim.analysis.explain import Spanned

        if isinstance(side, Document):
            return Spanned(side, passages.split(side.text))
        stored = self.document(side)
        return Spanned(stored.document, self.reader.store.passages(stored.number))


def _condition(where: Where, within: str) -> Condition | None:
    if where is None and not within:
        return None
    from docsim.filters.where import wanted

    return wanted(where, within)
