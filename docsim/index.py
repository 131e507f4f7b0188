"""The index: a searchable knowledge base. This is the class that users of the library work with.

with Index.create("indexes/handbook") as index:
    index.sync([Document("a", "How to book travel"), Document("b", "What you can claim back")])
    for hit in index.search("expenses for a train ticket").hits:
        print(hit.id, hit.similarity)
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from docsim.engine import opening
from docsim.engine.base import Engine
from docsim.engine.records import Counts, Generation, SourceName, StoredDocument
from docsim.engine.retrying import retried
from docsim.errors import UsageError
from docsim.models import DEFAULT_MODE, Document, Item, Mode, Passage, Ranking, SearchResult, SyncReport
from docsim.progress import SILENT, Progress
from docsim.search.asking import ask, ask_indexed, ask_texts, requested, stored_document, suggested

if TYPE_CHECKING:
    from docsim.analysis.attribution import Attribution
    from docsim.analysis.duplicates import Duplicates
    from docsim.analysis.explain import Explanation
    from docsim.analysis.topic_map import KnowledgeMap
    from docsim.encoding.encoder import Encoder
    from docsim.filters.where import Where
    from docsim.search.suggestions import Suggestions

__all__ = ["Index"]

_PYTHON = SourceName("python", "python", "python")  # the source of documents that are given without one


class Index:
    """A knowledge base that can be searched; opened by ``Index.create`` or ``Index.open``.

    Searching is safe from several threads. Each query sees everything that any process has committed before it.

    Attributes:
        path: The index's directory; for an index in a database, a folder of this machine with what belongs to it.
        engine: Keeps the documents and vectors; ``engine.snapshot()`` reads one committed state.
        batch: About how many characters of text are encoded and committed together when this object writes; fewer take
            less memory.
    """

    batch = 1_000_000

    def __init__(self, engine: Engine, *, pinned: bool = False) -> None:
        """Make an index over an engine of your own; otherwise use ``open`` or ``create``.

        Args:
            engine: Keeps the documents and vectors.
            pinned: Whether the index was opened at one generation, so that it can be searched but not changed.
        """
        self.engine = engine
        self.path = engine.folder
        self._pinned = pinned
        self._attribution: Attribution | None = None

    @classmethod
    def open(cls, path: str | Path, *, encoder: Encoder | None = None, generation: int | None = None) -> Index:
        """Open an existing index, to search it or change it.

        Args:
            path: The index's directory.
            encoder: The encoder that the index is expected to use. It is compared with the index's own, which is used.
            generation: The number of the generation to search, whatever its state; the index then cannot be changed. By
                default each query uses the generation that is live at the time. One that is not live may lack
                documents.

        Raises:
            StoreError: There is no finished index or no such generation at ``path``, or it is damaged.
            FingerprintMismatch: The index uses another encoder than ``encoder``.
        """
        index = cls(opening.open_engine(path, generation=generation), pinned=generation is not None)
        try:
            found = index.generation()
            if encoder is not None:
                opening.check_encoder(encoder, found, index.path)
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
        """Open the index at ``path``, and create it first if there is none.

        Args:
            path: The index's directory; missing parent directories are created.
            encoder: The encoder of a new index, which keeps a copy of it; by default ``fast``.
            index_type: ``auto``, ``flat``, ``ivf``, ``hnsw`` or a FAISS factory string, used from the next sync on. By
                default it stays as it is; a new index has ``auto``.
            recall: The share of the ten nearest passages that an approximate index has to find, above 0 and at most 1.
                By default it stays as it is; a new index has 0.95.
            wait: Wait for another process that is writing, however long it takes.

        Raises:
            UsageError: There is no such index type, or the recall is out of range.
            FingerprintMismatch: There is an index already, with another encoder.
            IndexLocked: Another process is writing to it and ``wait`` is off.
            StoreError: The directory contains something else.
        """
        opening.create_engine(path, encoder=encoder, index_type=index_type, recall=recall, wait=wait)
        return cls.open(path, encoder=encoder)

    def at(self, generation: int) -> Index:
        """Open the same index again, to search one generation, whatever its state. It cannot be changed."""
        return Index(self.engine.at(generation), pinned=True)

    def close(self) -> None:
        """Close the index; safe to call twice."""
        self.engine.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Reading

    def generation(self) -> Generation:
        """Return the generation that is searched: the live one, or the one that the index was opened at.

        Raises:
            StoreError: The index was never finished, or there is no such generation.
        """
        return self.engine.generation()

    @property
    def encoder(self) -> Encoder:
        """The encoder of the generation that is searched, loaded when first used.

        Raises:
            FingerprintMismatch: The encoder kept in the index is not the one that made its embeddings.
            EncoderError: It is missing or damaged.
        """
        return self.engine.encoder

    @retried
    def counts(self) -> Counts:
        """Return the numbers of documents and passages."""
        with self.engine.snapshot() as snapshot:
            return snapshot.counts()

    def has(self, id: str) -> bool:
        """Return whether a document with this id is indexed."""
        return self.engine.sources().number(id) is not None

    @retried
    def document(self, id: str) -> StoredDocument:
        """Return an indexed document.

        Raises:
            UsageError: There is none with this id.
        """
        with self.engine.snapshot() as snapshot:
            return stored_document(snapshot, id)

    @retried
    def passages(self, id: str) -> list[Passage]:
        """Return the passages of an indexed document, in order.

        Raises:
            UsageError: There is none with this id.
        """
        with self.engine.snapshot() as snapshot:
            number = stored_document(snapshot, id).number
            return snapshot.passages([number])[number]

    # Writing

    def sync(
        self,
        documents: Iterable[Item],
        *,
        source: SourceName | None = None,
        prune: bool | None = None,
        sample: Iterable[str] = (),
        keep_repeated: bool = False,
        dry_run: bool = False,
        wait: bool = False,
        progress: Progress = SILENT,
    ) -> SyncReport:
        """Make what the index holds of one source equal to ``documents``, encoding only what is new or changed.

        If it is interrupted, call it again to do the rest. Searches find old versions until new ones are committed.

        Args:
            documents: The source's documents, in any order; read once, as a stream.
            source: Where they come from; documents of other sources are left alone.
            prune: Whether to remove documents that are gone from the source; by default, unless it looks empty.
            sample: Texts of pages from all over a new source, to find what most repeat; by default its first pages.
            keep_repeated: Keep in passages what most pages of the source repeat, such as navigation.
            dry_run: Only count what would be done.
            wait: Wait for another process that is writing, however long it takes.
            progress: Its ``advance`` is called once for every document; to show a total, call its ``begin`` first.

        Returns:
            What was done. A document that cannot be read is in ``failures``; the others are indexed all the same.

        Raises:
            UsageError: The index was opened at one generation.
            IndexLocked: Another process is writing and ``wait`` is off.
            StoreError: The index cannot be written to; what was committed before stays.
        """
        from docsim.indexing.sync import Plan, Sync  # here, because searching does not need it

        self._check_writable()
        if dry_run:
            return Plan(self.engine.sources(), source or _PYTHON).run(documents, prune=prune, progress=progress)
        with self.engine.writer(wait=wait) as writer:
            sync = Sync(writer, source or _PYTHON, lambda: self.encoder, batch=self.batch, keep_repeated=keep_repeated)
            report = sync.run(documents, prune=prune, sample=sample, progress=progress)
            writer.optimize()
        return report

    def remove(self, ids: Iterable[str], *, wait: bool = False) -> int:
        """Remove documents by id, in one transaction; return how many were removed.

        If a source still has a document, its next sync adds the document again.

        Raises:
            UsageError: The index was opened at one generation.
            IndexLocked: Another process is writing and ``wait`` is off.
        """
        from docsim.indexing.sync import removed

        self._check_writable()
        with self.engine.writer(wait=wait) as writer:
            return removed(writer, ids)

    def _check_writable(self) -> None:
        if self._pinned:
            raise UsageError(
                f"the index at {self.engine.address} was opened at generation {self.generation().number}, so it can "
                "only be searched; open it without a generation to change it"
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
        plain: bool = False,
    ) -> SearchResult:
        """Return the documents most similar to a text, best first.

        Args:
            text: A question, which may contain operators (``docs/reference/queries.md``), a few words or a whole
                document. A long text is compared passage by passage.
            k: The number of hits, at least 1. There are fewer only if fewer documents qualify.
            mode: Rank by embeddings (``dense``), by words (``lexical``) or by both (``hybrid``).
            where: Return only documents whose metadata match: an expression such as ``"team = 'sre'"``, or a mapping
                from field names to values.
            within: Return only documents whose id is this path or lies below it.
            ranking: How hits are chosen from the documents found; by default the best are returned.
            plain: Take the text as it is: read no operators and correct nothing.

        Raises:
            UsageError: ``text`` is blank, ``k`` is below 1, there is no such mode, or ``where`` cannot be parsed.
        """
        return self.search_many([text], k, mode=mode, where=where, within=within, ranking=ranking, plain=plain)[0]

    def search_many(
        self,
        texts: Sequence[str],
        k: int = 10,
        *,
        mode: Mode = DEFAULT_MODE,
        where: Where = None,
        within: str = "",
        ranking: Ranking | None = None,
        plain: bool = False,
    ) -> list[SearchResult]:
        """Search for several texts, which are encoded together; return one result per text. See ``search``."""
        started = time.perf_counter()
        request = requested(k, mode, where, within, ranking, plain=plain)
        return ask_texts(self.engine, texts, request, started=started)

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
        """Return the documents most similar to an indexed one, which is left out itself; see ``search`` for the rest.

        Raises:
            UsageError: There is no such document or mode, ``k`` is below 1, or ``where`` cannot be parsed.
        """
        return ask_indexed(self.engine, id, requested(k, mode, where, within, ranking))

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
        """Return the documents most similar to any document, encoded with its title; see ``search`` for the rest.

        The document need not be indexed. If it was read from a file that is indexed, pass that as ``file``, so that it
        is not among its own hits.
        """
        started = time.perf_counter()
        request = requested(k, mode, where, within, ranking)
        exclude = self.engine.sources().read_from(file.resolve()) if file else None
        return ask(self.engine, document, request, exclude=exclude, started=started)

    def suggest(self, text: str, k: int = 10, *, where: Where = None, within: str = "") -> Suggestions:
        """Return completions of a text that is being typed: at most ``k`` words and ``k`` titles.

        Only words and titles of documents that meet ``where`` and ``within`` are used, see ``search``.

        Raises:
            UsageError: ``k`` is below 1, or ``where`` cannot be parsed.
        """
        return suggested(self.engine, text, requested(k, DEFAULT_MODE, where, within, None))

    # Analysis

    @retried
    def explain(self, a: str | Document, b: str | Document, *, pairs: int = 3) -> Explanation:
        """Explain why two documents are similar, by matching passages, the words that contribute, and shared terms.

        Args:
            a: The id of an indexed document, or any document; for a question, use ``Document("query", text)``.
            b: The id or document to compare it with.
            pairs: The largest number of pairs of passages to explain, at least 1.

        Raises:
            UsageError: There is no such document, or ``pairs`` is below 1.
        """
        from docsim.analysis.attribution import attribution
        from docsim.analysis.explain import explained, spanned

        with self.engine.snapshot(encoder=True) as snapshot:
            self._attribution = attribution(snapshot.encoder, self._attribution)
            return explained(snapshot, self._attribution, *(spanned(snapshot, one) for one in (a, b)), pairs=pairs)

    @retried
    def duplicates(self, *, threshold: float | None = None, progress: Progress = SILENT) -> Duplicates:
        """Find documents with the same wording: equal ones, nearly equal ones, and those contained in another.

        Args:
            threshold: The share of wording, in (0, 1], that near-duplicates have in common; by default docsim chooses.
            progress: Receives what is being done.

        Raises:
            UsageError: ``threshold`` is out of range.
        """
        from docsim.analysis import duplicates

        with self.engine.snapshot() as snapshot:
            return duplicates.find(snapshot, threshold=threshold, progress=progress)

    @retried
    def map(self, *, seed: int = 0) -> KnowledgeMap:
        """Lay out all documents in two dimensions, grouped by topic.

        Args:
            seed: The same seed gives the same map of the same documents.

        Raises:
            MissingExtra: The extra ``map`` is not installed.
            StoreError: Nothing is indexed.
        """
        from docsim.analysis import topic_map

        with self.engine.snapshot() as snapshot:
            return topic_map.knowledge_map(snapshot, seed=seed)
