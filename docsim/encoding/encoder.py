"""The encoder: one directory that turns texts into unit vectors, run by ONNX Runtime alone.

    manifest.json     format version, kind, name, dim, max_tokens, preprocessing, fingerprint, digests, lineage
    tower.keras       the trained Keras model, the source of truth; read by ``docsim.training`` only
    tower.onnx        its export; the only thing that encodes, documents and queries alike
    tokenizer.json    a Hugging Face ``tokenizers`` file

The fingerprint is a SHA-256 over the content of all that changes the output: the exported tower, the tokenizer, the
preprocessing settings and ``max_tokens``. Names and lineage are not part of it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.tokenizer import Token, Tokeniser, damped
from docsim.errors import EncoderError
from docsim.runtime import onnxruntime

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

FORMAT = 1
"""Version of the directory's layout; an encoder of another version is refused by name."""

MANIFEST_FILE = "manifest.json"
KERAS_FILE = "tower.keras"
ONNX_FILE = "tower.onnx"
TOKENIZER_FILE = "tokenizer.json"

_CHUNK_CHARACTERS = 400_000  # tokenised at a time: bounds memory, and gives every core enough to do
_BATCH_TOKENS = {"average": 4096, "lstm": 4096, "transformer": 256}
"""Padded tokens in one ONNX call, by kind: what passes between its operators stays in the processor's cache."""
_Item = TypeVar("_Item")

_MOST_WORKERS = 4  # chunks in flight; the tokenizer itself uses every core


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a text becomes token ids, beyond what the tokenizer's file says.

    Attributes:
        padding_id: Id that fills short rows of a batch and counts for nothing.
        empty_id: Id that stands for a text without any token.
        special_tokens: Whether the tokenizer adds its special tokens, such as ``[CLS]``.
        by_word: Whether a text's ids are those of its whitespace-separated words, one after another. True of BERT's
            tokenizers as long as they add no special tokens; encodes faster.
        damped: Whether a token that a text repeats counts less than once each time; for ``average`` towers.
        components: Leading components of what the tower gives that are kept, scaled to length one; None for all.
    """

    padding_id: int
    empty_id: int
    special_tokens: bool
    by_word: bool = False
    damped: bool = False
    components: int | None = None


def fingerprint(files: Mapping[str, str], *, preprocessing: Preprocessing, max_tokens: int) -> str:
    """Return the SHA-256 (64 hex digits) over all that changes an encoder's output.

    Args:
        files: SHA-256 by file name, of ``tower.onnx`` and ``tokenizer.json`` at least; others do not count.
        preprocessing: How texts become token ids.
        max_tokens: Tokens of a text that are read.
    """
    settled = asdict(preprocessing)
    if not preprocessing.damped:  # encoders from before there was such a thing keep their fingerprints
        del settled["damped"]
    if preprocessing.components is None:
        del settled["components"]
    settings = {
        "format": FORMAT,
        "max_tokens": max_tokens,
        "preprocessing": settled,
        ONNX_FILE: files[ONNX_FILE],
        TOKENIZER_FILE: files[TOKENIZER_FILE],
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def read_manifest(path: Path) -> dict[str, Any]:
    """Return an encoder's manifest.

    Raises:
        EncoderError: The directory or its manifest is missing, damaged or of another format version.
    """
    file = path / MANIFEST_FILE
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EncoderError(
            f"expected an encoder directory at {path}, found no {MANIFEST_FILE} in it; name another directory or make "
            "an encoder first",
            hint="docsim distill --help",
        ) from None
    except (OSError, ValueError) as error:
        raise EncoderError(f"the encoder at {path} is damaged: {MANIFEST_FILE} cannot be read ({error})") from error
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if version != FORMAT:
        raise EncoderError(
            f"the encoder at {path} has format version {version!r}; this docsim reads version {FORMAT}. Make it anew, "
            "or use the docsim that made it"
        )
    return dict(manifest)


def fingerprint_of(path: Path) -> str:
    """Return the fingerprint of the files in an encoder's directory, whatever its manifest says, without loading them.

    Raises:
        EncoderError: A file is missing or damaged.
    """
    manifest = read_manifest(path)
    try:
        preprocessing, max_tokens = Preprocessing(**manifest["preprocessing"]), int(manifest["max_tokens"])
        digests = dict(manifest["files"])
    except (KeyError, TypeError, ValueError) as error:
        raise EncoderError(f"the encoder at {path} is damaged: {MANIFEST_FILE} has a wrong field ({error})") from error
    for file in (ONNX_FILE, TOKENIZER_FILE):
        _content(path / file, digests)
    return fingerprint(digests, preprocessing=preprocessing, max_tokens=max_tokens)


class Encoder:
    """Turns texts into unit vectors. Safe to call from several threads.

    Attributes:
        path: The directory it was loaded from.
        name: For people; not part of the fingerprint.
        dim: Components of an embedding.
        max_tokens: Tokens of a text that are read; what follows is ignored.
        fingerprint: SHA-256 (64 hex digits) over all that changes the output.
        manifest: What its ``manifest.json`` says, or would if it were saved as it is.
    """

    path: Path
    name: str
    dim: int
    max_tokens: int
    fingerprint: str

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        """Load from ``path``, whose manifest has been read; use ``Encoder.load``.

        Raises:
            EncoderError: A file is missing, or not what the manifest says.
        """
        self.path, self.manifest = path, manifest
        try:
            self.name = str(manifest["name"])
            self.dim, self.max_tokens = int(manifest["dim"]), int(manifest["max_tokens"])
            self.fingerprint = str(manifest["fingerprint"])
            self._preprocessing = Preprocessing(**manifest["preprocessing"])
            digests, kind = dict(manifest["files"]), str(manifest["kind"])
        except (KeyError, TypeError, ValueError) as error:
            raise EncoderError(
                f"the encoder at {path} is damaged: {MANIFEST_FILE} lacks a field or has a wrong one ({error})"
            ) from error
        onnx = _content(path / ONNX_FILE, digests)
        tokenizer = _content(path / TOKENIZER_FILE, digests)
        self._check_fingerprint(digests)
        try:
            self._tokeniser = self._read_tokenizer(tokenizer.decode())
            self._session = _session(onnx, kind)
        except Exception as error:  # neither library has an error type of its own
            raise EncoderError(f"the encoder at {path} cannot be loaded: {error}") from error
        self._input = self._session.get_inputs()[0].name
        self._check_components()
        self._batch_tokens = _BATCH_TOKENS.get(kind, _BATCH_TOKENS["average"])
        # Cheap towers spend their time on tokens, so chunks go side by side; of others, the batches of one chunk do.
        cores = os.cpu_count() or 1
        self._chunk_workers, self._batch_workers = (min(cores, _MOST_WORKERS), 1) if kind == "average" else (1, cores)

    def _check_components(self) -> None:
        given = self._session.get_outputs()[0].shape[-1]
        if self.dim != (self._preprocessing.components or given):
            raise EncoderError(
                f"the encoder at {self.path} is damaged: {MANIFEST_FILE} tells of {self.dim} components, {ONNX_FILE} "
                f"gives {given}"
            )

    def __repr__(self) -> str:
        return f"Encoder({self.name!r}, dim={self.dim}, fingerprint={self.fingerprint[:12]!r})"

    @classmethod
    def load(cls, path: str | Path, *, dim: int | None = None) -> Encoder:
        """Load the encoder in a directory.

        Args:
            path: The directory.
            dim: Leading components to keep of an embedding, one of the numbers that the encoder was trained to do with
                (Matryoshka); all when not given. An encoder of fewer components has a fingerprint of its own.

        Raises:
            EncoderError: It is missing, damaged, of another format version, or not trained to do with ``dim``.
        """
        path = Path(path)
        manifest = read_manifest(path)
        return cls(path, manifest if dim is None else _shortened(path, manifest, dim))

    @classmethod
    def default(cls, *, dim: int | None = None) -> Encoder:
        """Load the encoder that docsim ships; ``dim`` as of ``load``.

        Raises:
            EncoderError: The installation is damaged, or it was not trained to do with ``dim``.
        """
        return cls.load(Path(__file__).parents[1] / "encoders" / "default", dim=dim)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the embeddings of ``texts``: float32 ``(len(texts), dim)``, unit rows, in the order given.

        Any text will do: one without a token gets a fixed unit vector, unpaired surrogates count as U+FFFD. A text
        gets the same embedding alone and among others, up to rounding (1e-6).

        Raises:
            TypeError: ``texts`` is one string; pass a list of them.
        """
        if isinstance(texts, str):
            raise TypeError("Encoder.encode expects a sequence of texts, not one str; pass [text]")
        embeddings = np.empty((len(texts), self.dim), dtype=np.float32)
        # One chunk is tokenised while another is in ONNX Runtime, which releases the interpreter's lock.
        _each(
            lambda chunk: self._encode_chunk(texts[chunk], embeddings[chunk]),
            list(_chunks(texts)),
            workers=self._chunk_workers,
        )
        return embeddings

    def tokens(self, text: str) -> list[Token]:
        """Return the tokens that a text is encoded by, at least one, and where in it they stand."""
        found = self._tokeniser.spelled(text)
        if not self._preprocessing.damped:
            return found
        ids = np.array([token.id for token in found], np.int32)
        kept = Counter(damped(ids[None], padding=self._preprocessing.padding_id)[0].tolist())
        times = Counter(ids.tolist())
        return [replace(token, share=kept[token.id] / times[token.id]) for token in found]

    def _check_fingerprint(self, digests: Mapping[str, str]) -> None:
        """Compare with what the files' digests make, which have been checked."""
        found = fingerprint(digests, preprocessing=self._preprocessing, max_tokens=self.max_tokens)
        if found != self.fingerprint:
            raise EncoderError(
                f"the encoder at {self.path} is damaged: {MANIFEST_FILE} bears the fingerprint "
                f"{self.fingerprint[:12]}, the files make {found[:12]}"
            )

    def _read_tokenizer(self, content: str) -> Tokeniser:
        settings = self._preprocessing
        return Tokeniser(
            content,
            max_tokens=self.max_tokens,
            empty_id=settings.empty_id,
            special_tokens=settings.special_tokens,
            by_word=settings.by_word,
        )

    def _encode_chunk(self, texts: Sequence[str], target: NDArray[np.float32]) -> None:
        """Write the embeddings of a few texts to ``target`` ``(len(texts), dim)``."""
        tokens = self._tokeniser.tokenise(texts)

        def encode(rows: NDArray[np.int64]) -> None:
            batch = tokens.batch(rows, padding=self._preprocessing.padding_id)
            if self._preprocessing.damped:
                batch = damped(batch, padding=self._preprocessing.padding_id)
            target[rows] = shortened(self._session.run(None, {self._input: batch})[0], self._preprocessing.components)

        _each(encode, list(_batches(tokens.lengths, self._batch_tokens)), workers=self._batch_workers)


def shortened(rows: NDArray[np.float32], components: int | None) -> NDArray[np.float32]:
    """Return the leading components of unit rows, scaled to length one again; the rows themselves for None."""
    if components is None:
        return rows
    kept = rows[:, :components]
    return np.asarray(kept / np.maximum(np.linalg.norm(kept, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _shortened(path: Path, manifest: Mapping[str, Any], dim: int) -> dict[str, Any]:
    """Return the manifest of an encoder that keeps ``dim`` components."""
    if dim == manifest.get("dim"):
        return dict(manifest)
    trained = [one for one in manifest.get("dims", ()) if one < manifest["dim"]]
    if dim not in trained:
        raise EncoderError(
            f"expected a number of components that the encoder at {path} was trained to do with, "
            f"{', '.join(map(str, [manifest.get('dim'), *trained]))}; got {dim}"
        )
    preprocessing = replace(Preprocessing(**manifest["preprocessing"]), components=dim)
    settings = {"preprocessing": asdict(preprocessing), "dim": dim}
    found = fingerprint(manifest["files"], preprocessing=preprocessing, max_tokens=int(manifest["max_tokens"]))
    return {**manifest, **settings, "name": f"{manifest['name']} ({dim})", "fingerprint": found}


def _content(file: Path, digests: Mapping[str, str]) -> bytes:
    """Return a file's bytes if they are those that the manifest tells of."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise EncoderError(f"the encoder at {file.parent} is damaged: {file.name} cannot be read ({error})") from error
    if hashlib.sha256(content).hexdigest() != digests.get(file.name):
        raise EncoderError(
            f"the encoder at {file.parent} is damaged: {file.name} is not the file that {MANIFEST_FILE} tells of. "
            "Make or copy it anew"
        )
    return content


def _session(onnx: bytes, kind: str) -> onnxruntime.InferenceSession:
    """Return a session over an exported tower. A call uses one thread; several go side by side."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    options.enable_mem_pattern = False  # plans memory for one shape; every batch has another
    if kind == "average":  # nothing in it to fuse, and looking for that takes 15 ms
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


def _chunks(texts: Sequence[str]) -> Iterator[slice]:
    """Cut ``texts`` into runs of about ``_CHUNK_CHARACTERS``."""
    start = characters = 0
    for position, text in enumerate(texts):
        characters += len(text) + 1
        if characters >= _CHUNK_CHARACTERS:
            yield slice(start, position + 1)
            start, characters = position + 1, 0
    if start < len(texts):
        yield slice(start, len(texts))


def _each(function: Callable[[_Item], None], items: Sequence[_Item], *, workers: int) -> None:
    """Call a function with each item, several at a time if there are several."""
    workers = min(workers, len(items))
    if workers <= 1:
        for item in items:
            function(item)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(function, items))


def _batches(lengths: NDArray[np.int64], most: int) -> Iterator[NDArray[np.int64]]:
    """Group rows of like length, shortest first, so that no group of several exceeds ``most`` with its padding."""
    order = np.argsort(lengths, kind="stable")
    start = 0
    for position, length in enumerate(lengths[order].tolist()):
        if position > start and (position - start + 1) * length > most:
            yield order[start:position]
            start = position
    if start < len(order):
        yield order[start:]
