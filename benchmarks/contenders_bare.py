"""The contenders that are vectors and an index, without texts: vicinity, and FAISS alone or with a sentence encoder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from contender import Contender, Floats, OneEmbedding, Record, unit, whole


class Static(OneEmbedding):
    """One of model2vec's vectors for each text."""

    def __init__(self, model: str, index: Path) -> None:
        from model2vec import StaticModel

        super().__init__(model, index)
        self.static = StaticModel.from_pretrained(model)

    def encode(self, texts: Sequence[str]) -> Floats:
        return unit(self.static.encode(list(texts), max_length=None))


class Vicinity(Static):
    """model2vec's vectors in vicinity, whose default is exact."""

    backend = "basic"

    def build(self, records: Sequence[Record]) -> None:
        from vicinity import Vicinity as Vectors

        vectors = self.static.encode([whole(one) for one in records], max_length=None)
        ids = [one["id"] for one in records]
        Vectors.from_vectors_and_items(vectors, ids, backend_type=self.backend, store_vectors=True).save(self.index)

    def open(self) -> None:
        from vicinity import Vicinity as Vectors

        self.opened = Vectors.load(self.index)

    def search_many(self, texts: Sequence[str], k: int) -> list[list[str]]:
        found = self.opened.query(self.static.encode(list(texts), max_length=None), k=k)
        return [[id for id, _ in hits] for hits in found]

    def vectors(self) -> tuple[list[str], Floats]:
        return list(self.opened.items), unit(self.opened.get_vector_by_index(range(len(self.opened.items))))


class VicinityHnsw(Vicinity):
    """The same with vicinity's HNSW back end."""

    backend = "hnsw"


class Faiss(Static):
    """A bare FAISS index of model2vec's vectors, with the ids in a file beside it."""

    factory = "Flat"

    def build(self, records: Sequence[Record]) -> None:
        import faiss

        rows = self.encode([whole(one) for one in records])
        index = faiss.index_factory(rows.shape[1], self.factory, faiss.METRIC_INNER_PRODUCT)
        index.add(rows)
        self.index.mkdir()
        faiss.write_index(index, str(self.index / "vectors.faiss"))
        (self.index / "ids.json").write_text(json.dumps([one["id"] for one in records]))

    def open(self) -> None:
        import faiss

        self.opened = faiss.read_index(str(self.index / "vectors.faiss"))
        self.ids = json.loads((self.index / "ids.json").read_text())

    def search_many(self, texts: Sequence[str], k: int) -> list[list[str]]:
        _, places = self.opened.search(self.encode(texts), k)
        return [[self.ids[place] for place in row if place >= 0] for row in places.tolist()]

    def vectors(self) -> tuple[list[str], Floats]:
        return self.ids, unit(self.opened.reconstruct_n(0, self.opened.ntotal))


class FaissHnsw(Faiss):
    """The same with FAISS's HNSW graph."""

    factory = "HNSW32"


class SentenceTransformers(Faiss):
    """sentence-transformers' vectors in a flat FAISS index."""

    def __init__(self, model: str, index: Path) -> None:
        from sentence_transformers import SentenceTransformer

        Contender.__init__(self, model, index)
        self.sentences = SentenceTransformer(model, device="cpu")

    def encode(self, texts: Sequence[str]) -> Floats:
        return unit(self.sentences.encode(list(texts), normalize_embeddings=True, show_progress_bar=False))
