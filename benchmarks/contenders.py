"""docsim and its peers behind one interface, each used as its own documentation says and with its own defaults.

A contender is run by the interpreter of its own environment, so everything is imported where it is used. What its
documentation leaves open is the same for all: a document is its title, a line break and its text; static models read
documents in full, as docsim does, and a transformer as much as its own configuration says.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from contender import HITS, Contender, Floats, OneEmbedding, Record, unit, whole
from contenders_bare import Faiss, FaissHnsw, SentenceTransformers, Vicinity, VicinityHnsw
from numpy.typing import NDArray


class Docsim(Contender):
    """Its model is a directory of an encoder, or ``default``."""

    @cached_property
    def encoder(self) -> Any:
        from docsim import Encoder

        return Encoder.default() if self.model == "default" else Encoder.load(Path(self.model))

    def encode(self, texts: Sequence[str]) -> Floats:
        return np.asarray(self.encoder.encode(list(texts)))

    def build(self, records: Sequence[Record]) -> None:
        from docsim import Document, Index

        with Index.create(self.index, encoder=self.encoder) as index:
            index.sync(Document(one["id"], one["text"], title=one["title"]) for one in records)

    def open(self) -> None:
        from docsim import Index

        self.opened = Index.open(self.index)

    def search_many(self, texts: Sequence[str], k: int) -> list[list[str]]:
        return [[hit.id for hit in found.hits] for found in self.opened.search_many(texts, k)]

    def similar(self, id: str, text: str, k: int) -> list[str]:
        return [hit.id for hit in self.opened.similar(id, k).hits]

    def nearest(self, text: str) -> list[str]:
        return [hit.id for hit in self.opened.search(text, HITS, mode="dense").hits]

    def exact(self, text: str) -> dict[str, float]:
        """Score every document by all its stored passages, as ``docsim.search.scoring`` does with candidates."""
        from docsim import Document
        from docsim.encoding.documents import encode_documents
        from docsim.search import scoring

        query = encode_documents(self.encoder, [Document("query", text)])[0]
        ids, documents = self._documents
        return {ids[one.position]: one.score for one in scoring.rank(query, documents)}

    @cached_property
    def _documents(self) -> tuple[list[str], list[NDArray[np.float16]]]:
        with self.opened.engine.snapshot() as snapshot:
            ids = [stored.document.id for stored in snapshot.scan(characters=0)]
            return ids, snapshot.embeddings(snapshot.embedded())


class Txtai(OneEmbedding):
    """``Embeddings`` with the documents' content, so that it answers with texts."""

    hybrid = False

    @cached_property
    def embeddings(self) -> Any:
        from txtai import Embeddings

        static = not (Path(self.model) / "1_Pooling").is_dir()
        options: dict[str, Any] = {"vectors": {"max_length": None}} if static else {}
        return Embeddings(path=self.model, content=True, hybrid=self.hybrid, **options)

    def encode(self, texts: Sequence[str]) -> Floats:
        return unit(self.embeddings.batchtransform(list(texts)))

    def build(self, records: Sequence[Record]) -> None:
        self.embeddings.index((one["id"], whole(one)) for one in records)
        self.embeddings.save(str(self.index))

    def open(self) -> None:
        from txtai import Embeddings

        self.embeddings = Embeddings()
        self.embeddings.load(str(self.index))

    def search_many(self, texts: Sequence[str], k: int) -> list[list[str]]:
        return [[hit["id"] for hit in hits] for hits in self.embeddings.batchsearch(list(texts), k)]

    def vectors(self) -> tuple[list[str], Floats]:
        import faiss

        index = self.embeddings.ann.backend
        if isinstance(index, faiss.IndexIVF):
            index.make_direct_map()
        else:  # an IndexIDMap, whose ids are the places of documents
            index = faiss.downcast_index(index.index)
        rows = self.embeddings.database.cursor.execute("SELECT id FROM sections ORDER BY indexid").fetchall()
        return [id for (id,) in rows], unit(index.reconstruct_n(0, len(rows)))


class TxtaiHybrid(Txtai):
    """Fuses BM25 and embeddings."""

    hybrid = True


class Llm(OneEmbedding):
    """A collection in SQLite, compared in full for each query."""

    def __init__(self, model: str, index: Path) -> None:
        super().__init__(model, index)
        index.mkdir(exist_ok=True)
        os.environ["LLM_USER_PATH"] = str(index.parent / "llm")
        import llm
        from llm_sentence_transformers import read_models, write_models

        if model not in [one["name"] for one in read_models()]:
            write_models([{"name": model}])  # as `llm sentence-transformers register` does
        self.embedder = llm.get_embedding_model(f"sentence-transformers/{model}")

    def encode(self, texts: Sequence[str]) -> Floats:
        return unit(list(self.embedder.embed_multi(texts)))

    def build(self, records: Sequence[Record]) -> None:
        self.open()
        self.collection.embed_multi(((one["id"], whole(one)) for one in records), store=True)

    def open(self) -> None:
        import llm
        import sqlite_utils

        database = sqlite_utils.Database(self.index / "embeddings.db")
        self.collection = llm.Collection("documents", database, model=self.embedder)

    def search_many(self, texts: Sequence[str], k: int) -> list[list[str]]:
        return [[entry.id for entry in self.collection.similar(text, number=k)] for text in texts]

    def similar(self, id: str, text: str, k: int) -> list[str]:
        return [entry.id for entry in self.collection.similar_by_id(id, number=k)]

    def vectors(self) -> tuple[list[str], Floats]:
        import llm

        rows = list(self.collection.db.query("SELECT id, embedding FROM embeddings"))
        return [row["id"] for row in rows], unit([llm.decode(row["embedding"]) for row in rows])


class Chroma(OneEmbedding):
    """A persistent client; its own MiniLM in ONNX Runtime, or an embedding function around model2vec."""

    def __init__(self, model: str, index: Path) -> None:
        super().__init__(model, index)
        self.function = self._own(Path(model)) if (Path(model) / "onnx").is_dir() else self._static(model)

    @staticmethod
    def _own(folder: Path) -> Any:
        from chromadb.utils.embedding_functions import ONNXMiniLM_L6_V2

        ONNXMiniLM_L6_V2.DOWNLOAD_PATH = folder  # what would be downloaded to the home directory otherwise
        return ONNXMiniLM_L6_V2()

    @staticmethod
    def _static(model: str) -> Any:
        from chromadb import EmbeddingFunction
        from model2vec import StaticModel

        static = StaticModel.from_pretrained(model)

        class Static(EmbeddingFunction):  # type: ignore[misc]  # mypy does not read Chroma's own types
            def __init__(self) -> None:
                pass

            def __call__(self, input: Any) -> Any:
                return list(static.encode(list(input), max_length=None))

            @staticmethod
            def name() -> str:
                return "static"

            def get_config(self) -> dict[str, Any]:
                return {}

            @staticmethod
            def build_from_config(config: dict[str, Any]) -> Any:
                return Static()

        return Static()

    def encode(self, texts: Sequence[str]) -> Floats:
        return unit(self.function(list(texts)))

    def build(self, records: Sequence[Record]) -> None:
        self.open()
        most = self.client.get_max_batch_size()
        for start in range(0, len(records), most):
            batch = records[start : start + most]
            self.collection.add(ids=[one["id"] for one in batch], documents=[whole(one) for one in batch])

    def open(self) -> None:
        import chromadb

        settings = chromadb.Settings(anonymized_telemetry=False)
        self.client = chromadb.PersistentClient(path=str(self.index), settings=settings)
        self.collection = self.client.get_or_create_collection("documents", embedding_function=self.function)

    def search_many(self, texts: Sequence[str], k: int) -> list[list[str]]:
        found: list[list[str]] = self.collection.query(query_texts=list(texts), n_results=k)["ids"]
        return found

    def vectors(self) -> tuple[list[str], Floats]:
        stored = self.collection.get(include=["embeddings"])
        return stored["ids"], unit(stored["embeddings"])


KINDS: dict[str, type[Contender]] = {
    "docsim": Docsim,
    "txtai": Txtai,
    "txtai-hybrid": TxtaiHybrid,
    "llm": Llm,
    "chroma": Chroma,
    "vicinity": Vicinity,
    "vicinity-hnsw": VicinityHnsw,
    "faiss": Faiss,
    "faiss-hnsw": FaissHnsw,
    "sentence-transformers": SentenceTransformers,
}
