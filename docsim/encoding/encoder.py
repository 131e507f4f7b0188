"""The encoder: one directory that turns texts into unit vectors, with ONNX Runtime alone.

manifest.json     what the encoder is, see ``docsim.encoding.manifest``
tower.keras       the trained Keras model, the source of truth; only ``docsim.training`` reads it
tower.onnx        its ONNX export, which encodes documents and queries alike
tokenizer.json    the tokenizer, a file of the Hugging Face ``tokenizers`` library
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from docsim import allocation
from docsim.encoding.batching import batches as batches_of
from docsim.encoding.batching import chunks, each
from docsim.encoding.manifest import (
    FORMAT,
    KERAS_FILE,
    MANIFEST_FILE,
    ONNX_FILE,
    TOKENIZER_FILE,
    Preprocessing,
    checked_content,
    fingerprint,
    fingerprint_of,
    read_manifest,
    read_settings,
    with_components,
)
from docsim.encoding.shipped import FAST, directory, located
from docsim.encoding.tokenizer import TextTokenizer, TokenSpan, damped
from docsim.encoding.tower_session import TowerSession
from docsim.errors import EncoderError, UsageError
from docsim.runtime import memory_limit

__all__ = [
    "FORMAT",
    "KERAS_FILE",
    "MANIFEST_FILE",
    "ONNX_FILE",
    "TOKENIZER_FILE",
    "Encoder",
    "Preprocessing",
    "fingerprint",
    "fingerprint_of",
    "read_manifest",
    "shortened",
]

_CHUNK_CHARACTERS = 400_000  # tokenized at a time: bounds memory, and gives every core enough to do
_ROOM = 128 << 20  # bytes of memory with which a chunk can be tokenized and encoded
_BATCH_TOKENS = {"average": 4096, "lstm": 4096, "transformer": 256, "onnx": 256}
"""Padded tokens in one ONNX call, by kind: small enough for intermediate results to stay in the processor's cache."""
_Item = TypeVar("_Item")

_MOST_WORKERS = 4  # chunks in flight; the tokenizer uses every core by itself


class Encoder:
    """Turns texts into unit vectors. Safe to call from several threads.

    Attributes:
        path: The directory it was loaded from.
        name: A name for people; not part of the fingerprint.
        kind: The kind of tower: ``average``, ``lstm``, ``transformer``, or ``onnx`` for another program's graph.
        dim: The number of components of an embedding.
        max_tokens: The number of tokens of a text that are read; the rest is ignored.
        fingerprint: SHA-256 (64 hex digits) over everything that changes the output.
        threads: How many threads encode at most, at least 1; the tokenizer's own come on top, and are shared by all
            encoders of a process (``RAYON_NUM_THREADS``).
        manifest: The content of its ``manifest.json``, changed to match if fewer components were asked for.
    """

    path: Path
    name: str
    kind: str
    dim: int
    max_tokens: int
    fingerprint: str
    threads: int

    def __init__(self, path: Path, manifest: Mapping[str, Any], *, threads: int | None = None) -> None:
        """Load an encoder whose manifest has been read already; use ``Encoder.load`` instead.

        Args:
            path: The directory.
            manifest: What ``read_manifest`` or ``with_components`` returned for it.
            threads: See ``load``.

        Raises:
            EncoderError: A file is missing, or does not match the manifest.
        """
        self.path, self.manifest = path, manifest
        self._preprocessing, self.max_tokens, digests = read_settings(path, manifest)
        self.dim = manifest["dim"]
        try:
            fields = ("name", "fingerprint", "kind")
            self.name, self.fingerprint, self.kind = (str(manifest[field]) for field in fields)
        except KeyError as error:
            raise EncoderError(
                f"the encoder at {path} is damaged: {MANIFEST_FILE} has a missing or wrong field ({error})"
            ) from error
        self._load_files(digests)
        self._check_components()
        self._check_prefixes()
        # The int8 steps of a batch depend on all of its texts, so there each text is encoded by itself.
        is_rounded = manifest.get("precision") == "int8"
        self._batch_tokens = 1 if is_rounded else _BATCH_TOKENS.get(self.kind, _BATCH_TOKENS["average"])
        # An average tower spends its time on tokenizing, so several chunks are encoded at a time. Other towers spend it
        # in ONNX Runtime, so several batches of one chunk are.
        self.threads = threads or os.cpu_count() or 1
        is_average = self.kind == "average"
        self._chunk_workers = min(self.threads, _MOST_WORKERS) if is_average else 1
        self._batch_workers = 1 if is_average else self.threads

    def _load_files(self, digests: Mapping[str, str]) -> None:
        """Load the tower and the tokenizer, after checking them against their digests and the fingerprint."""
        onnx = checked_content(self.path / ONNX_FILE, digests)
        tokenizer = checked_content(self.path / TOKENIZER_FILE, digests)
        self._check_fingerprint(digests)
        try:
            self._text_tokenizer = self._read_tokenizer(tokenizer.decode())
            self._tower = TowerSession(onnx, self.kind)
        except Exception as error:  # ONNX Runtime has no error type of its own
            if allocation.is_exceeded(error):
                raise MemoryError("there is not enough memory to load the encoder") from error
            raise EncoderError(f"the encoder at {self.path} cannot be loaded: {error}") from error

    def _check_components(self) -> None:
        given = self._tower.components
        kept = self._preprocessing.components
        if self.dim != (kept or given) or (kept and isinstance(given, int) and kept > given):
            raise EncoderError(
                f"the encoder at {self.path} is damaged: {MANIFEST_FILE} says {self.dim} components, {ONNX_FILE} gives "
                f"{given}"
            )

    def _check_prefixes(self) -> None:
        for name, prefix in (("query_prefix", self.query_prefix), ("document_prefix", self.document_prefix)):
            if not isinstance(prefix, str):
                raise EncoderError(
                    f"the encoder at {self.path} is damaged: {MANIFEST_FILE} has a {name} that is no text, {prefix!r}"
                )

    @property
    def query_prefix(self) -> str:
        """What stands before the text of a question; ``encode`` does not add it."""
        return self._preprocessing.query_prefix

    @property
    def document_prefix(self) -> str:
        """What stands before the text of a document's passage; ``encode`` does not add it."""
        return self._preprocessing.document_prefix

    def __repr__(self) -> str:
        return f"Encoder({self.name!r}, dim={self.dim}, fingerprint={self.fingerprint[:12]!r})"

    @classmethod
    def load(cls, path: str | Path, *, dim: int | None = None, threads: int | None = None) -> Encoder:
        """Load the encoder in a directory, or one that docsim ships.

        Args:
            path: The directory, or the name of a shipped encoder: ``fast`` or ``accurate``.
            dim: The number of leading components of an embedding to keep, one of those that the encoder was trained for
                (Matryoshka representation learning); all when not given. An encoder with fewer components has a
                fingerprint of its own.
            threads: How many threads encode, at least 1; one for each core when not given.

        Raises:
            UsageError: ``threads`` is below 1.
            EncoderError: The encoder is missing, damaged, of another format version, or not trained for ``dim``.
        """
        if threads is not None and threads < 1:
            raise UsageError(f"expected 1 thread or more to encode with, got {threads}")
        path = located(path)
        manifest = read_manifest(path)
        return cls(path, manifest if dim is None else with_components(path, manifest, dim), threads=threads)

    @classmethod
    def default(cls, *, dim: int | None = None) -> Encoder:
        """Load the fast encoder that docsim ships.

        Args:
            dim: The number of components to keep; see ``load``.

        Raises:
            EncoderError: The installation is damaged, or the encoder was not trained for ``dim``.
        """
        return cls.load(directory(FAST), dim=dim)

    def encode(self, texts: Sequence[str], *, unpadded: bool = False) -> NDArray[np.float32]:
        """Return the embeddings of texts: float32 ``(len(texts), dim)``, unit rows, in the order given.

        The texts are encoded as they are. ``docsim.encoding.documents`` puts the encoder's prefixes before them.

        Every text has an embedding: a text without tokens gets a fixed unit vector, and unpaired surrogates are read as
        U+FFFD. A text gets the same embedding alone and among others, up to rounding (1e-6).

        Args:
            texts: Any number of texts.
            unpadded: Encode only texts of equally many tokens together, which takes longer. No text is padded then, so
                towers that average get no rounding either.

        Raises:
            TypeError: ``texts`` is one string instead of a sequence of strings.
        """
        if isinstance(texts, str):
            raise TypeError("Encoder.encode expects a sequence of texts, not one str; pass [text]")
        embeddings = np.empty((len(texts), self.dim), dtype=np.float32)
        self.encode_into(embeddings, texts, unpadded=unpadded)
        return embeddings

    def encode_into(
        self,
        rows: NDArray[np.floating],
        texts: Sequence[str],
        *,
        unpadded: bool = False,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Write the embeddings of texts into ``rows``: float16 or float32 ``(len(texts), dim)``; see ``encode``.

        Only some of ``texts`` are asked for at a time, so that they can be made when they are.

        Args:
            rows: Where they go.
            texts: What is encoded.
            unpadded: See ``encode``.
            is_stopped: Asked now and then whether to give up.

        Raises:
            InterruptedError: It gave up.
            MemoryError: This process may have too little memory for some of them.
        """
        is_tight = not allocation.has_room(_ROOM * self._chunk_workers)
        size = _CHUNK_CHARACTERS // 8 if is_tight else _CHUNK_CHARACTERS

        def encode(chunk: slice) -> None:
            if is_stopped():
                raise InterruptedError("the texts are no longer wanted")
            allocation.require(_ROOM // 4)
            self._encode_chunk(texts[chunk], rows[chunk], unpadded=unpadded)

        # ONNX Runtime releases the interpreter's lock, so one chunk is tokenized while another is encoded.
        each(encode, list(chunks(texts, size)), workers=1 if is_tight else self._chunk_workers)

    def tokens(self, text: str) -> list[TokenSpan]:
        """Return the tokens that a text is encoded as, at least one, with their offsets in the text."""
        found = self._text_tokenizer.tokens(text)
        if not self._preprocessing.damped:
            return found
        ids = np.array([token.id for token in found], np.int32)
        kept = Counter(damped(ids[None], padding=self._preprocessing.padding_id)[0].tolist())
        times = Counter(ids.tolist())
        return [replace(token, share=kept[token.id] / times[token.id]) for token in found]

    def unknown_shares(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return what share of each text's tokens the vocabulary does not know: ``float32 (len(texts),)``, in [0, 1].

        What it does not know has one embedding, whatever it is. A blank text is unknown altogether.
        """
        return self._text_tokenizer.unknown_shares(texts)

    def has_token(self, word: str) -> bool:
        """Return whether the vocabulary holds a word as a whole, and not only as pieces."""
        return self._text_tokenizer.has_token(word)

    @property
    def is_contextual(self) -> bool:
        """Whether a token's part in the embedding depends on the tokens around it."""
        return str(self.manifest["kind"]) != "average"

    @property
    def is_adapted(self) -> bool:
        """Whether it was trained on documents without labels. Older manifests tell it by their held-out documents."""
        lineage = self.manifest.get("lineage", {})
        return bool(lineage.get("adapted", lineage.get("parent") and lineage.get("held_out")))

    def _check_fingerprint(self, digests: Mapping[str, str]) -> None:
        """Compare the manifest's fingerprint with the one computed from the digests of its files."""
        found = fingerprint(digests, preprocessing=self._preprocessing, max_tokens=self.max_tokens)
        if found != self.fingerprint:
            raise EncoderError(
                f"the encoder at {self.path} is damaged: {MANIFEST_FILE} says the fingerprint is "
                f"{self.fingerprint[:12]}, its files and settings give {found[:12]}"
            )

    def _read_tokenizer(self, content: str) -> TextTokenizer:
        settings = self._preprocessing
        return TextTokenizer(
            content,
            max_tokens=self.max_tokens,
            empty_id=settings.empty_id,
            special_tokens=settings.special_tokens,
            by_word=settings.by_word,
        )

    def _run(self, batch: NDArray[np.int32]) -> NDArray[np.float32]:
        try:
            return self._tower.run(batch)
        except Exception as error:  # of ONNX Runtime's own types
            if allocation.is_exceeded(error):
                raise MemoryError("there is not enough memory to encode a text") from error
            reason = str(error).strip().splitlines()[0]
            if "available memory" in reason.lower():
                reason = f"it needs more than {memory_limit() / 1e9:.0f} GB of memory"
            raise EncoderError(f"the encoder at {self.path} failed to encode a text: {reason}") from error

    def _encode_chunk(self, texts: Sequence[str], target: NDArray[np.floating], *, unpadded: bool) -> None:
        """Write the embeddings of a few texts to ``target`` ``(len(texts), dim)``."""
        tokens = self._text_tokenizer.tokenize(texts)

        def encode(rows: NDArray[np.int64]) -> None:
            batch = tokens.batch(rows, padding=self._preprocessing.padding_id)
            if self._preprocessing.damped:
                batch = damped(batch, padding=self._preprocessing.padding_id)
            made = shortened(self._run(batch), self._preprocessing.components)
            if made.shape != (len(batch), self.dim) or not np.isfinite(made).all():
                raise EncoderError(f"expected unit vectors from the encoder {self.name}, got others, perhaps NaN")
            target[rows] = made

        batches = batches_of(tokens.lengths, self._batch_tokens, unpadded=unpadded)
        each(encode, list(batches), workers=self._batch_workers)


def shortened(rows: NDArray[np.float32], components: int | None) -> NDArray[np.float32]:
    """Return the leading components of embeddings, rescaled to unit rows.

    Args:
        rows: ``float32 (n, dim)``, unit rows.
        components: How many to keep; None returns the rows unchanged.

    Returns:
        ``float32 (n, components)``, unit rows.
    """
    if components is None:
        return rows
    kept = rows[:, :components]
    return np.asarray(kept / np.maximum(np.linalg.norm(kept, axis=1, keepdims=True), 1e-12), dtype=np.float32)
