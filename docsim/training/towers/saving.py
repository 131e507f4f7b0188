"""Saving and loading encoders: from a trained tower and its tokenizer to an encoder directory, and back.

A directory is written under a temporary name, checked, and then renamed, so an incomplete encoder never appears under
its final name.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from docsim.encoding.encoder import (
    FORMAT,
    KERAS_FILE,
    MANIFEST_FILE,
    ONNX_FILE,
    TOKENIZER_FILE,
    Encoder,
    Preprocessing,
    fingerprint,
    read_manifest,
    shortened,
)
from docsim.encoding.tokenizer import damped
from docsim.errors import EncoderError
from docsim.files import flush
from docsim.runtime import load_graph
from docsim.training.towers.export import INPUT, halved, onnx_bytes, quantised
from docsim.training.towers.from_export import tower_of_export
from docsim.training.towers.keras_file import load_tower

__all__ = ["EncoderParts", "Exported", "Lineage", "load", "save", "save_exported"]

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""Largest difference between Keras and ONNX, per component of a unit row, with which an encoder is saved."""

# Lower precisions change the output on purpose; import_encoder measures by how much.
_LARGEST_DIFFERENCE = {"float32": TOLERANCE, "float16": 0.01, "int8": 0.1}

_STORED = {"float32": lambda onnx: onnx, "float16": halved, "int8": quantised}

_LIBRARIES = ("keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "tokenizers", "numpy")
_FILES = (KERAS_FILE, ONNX_FILE, TOKENIZER_FILE)
_EXPORTED = "onnx"  # the kind of encoders that have no tower
_CHECKED_TEXTS = (
    "",
    "a",
    "How do I rotate the signing keys of a service?",
    "The quick brown fox jumps over the lazy dog.\n\nThen it rests, 3.14 times as long as the dog did.",
    "naïve café \U0001f600 \u4e2d\u6587 \x00 x" * 20,
)


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where an encoder comes from; stored in its manifest, but not part of its fingerprint.

    Attributes:
        seed: Random seed.
        parent: Fingerprint of the encoder that training started from.
        teacher: Name of the encoder that it was distilled from, or that training learned from besides the texts.
        material: SHA-256 of what it was made from: the teacher's weights, or the training texts.
        metrics: Measurements by name.
        held_out: Ids of the documents that training did not see, on which the encoder can be measured fairly.
        adapted: Whether its token weights come from the corpus that it was trained on without labels.
    """

    seed: int
    parent: str | None = None
    teacher: str | None = None
    material: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    held_out: Sequence[str] = ()
    adapted: bool = False


@dataclass(frozen=True, slots=True)
class EncoderParts:
    """An encoder in memory, as training handles it.

    Attributes:
        tower: Model from ids ``(texts, tokens)`` int32 to unit rows ``(texts, dim)`` float32.
        tokenizer: Maps texts to the tower's ids.
        preprocessing: Padding, empty texts and special tokens.
        kind: Kind of the tower: one of ``docsim.training.towers.kinds.KINDS``.
        max_tokens: Tokens of a text that the tower reads, special tokens included.
        precision: How the export keeps the weights of its matrix products: ``float32``; ``float16``, which is smaller
            and computes in float32; or ``int8``, which is smaller still and faster but agrees less with the tower.
        dims: Numbers of leading components that were trained to work on their own.
    """

    tower: keras.Model
    tokenizer: Tokenizer
    preprocessing: Preprocessing
    kind: str
    max_tokens: int
    precision: str = "float32"
    dims: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Exported:
    """An encoder of which only the exported graph is known, so that it cannot be trained.

    Attributes:
        graph: ONNX model from ids ``(texts, tokens)`` int32 to unit rows ``(texts, dim)`` float32.
        tokenizer: Maps texts to the graph's ids.
        preprocessing: Padding, empty texts and special tokens.
        max_tokens: Tokens of a text that it reads, special tokens included.
        dim: Components of its embeddings.
        precision: ``float32`` or ``int8``.
    """

    graph: bytes
    tokenizer: Tokenizer
    preprocessing: Preprocessing
    max_tokens: int
    dim: int
    precision: str = "float32"


def save(parts: EncoderParts, path: str | Path, *, name: str, lineage: Lineage, with_tower: bool = True) -> Encoder:
    """Write an encoder directory, completely or not at all, and load it.

    An encoder that is already at ``path`` is replaced. Other files in that directory, such as a ``README.md``, are
    kept.

    Args:
        parts: The encoder.
        path: Directory to write.
        name: Display name of the encoder.
        lineage: Where it comes from.
        with_tower: Whether to write ``tower.keras``. Without it, training starts from what the export kept of the
            weights; only towers of the kinds that ``tower_of_export`` reads can be trained on.

    Raises:
        EncoderError: ``path`` holds something other than an encoder, or the ONNX export does not compute the same as
            the Keras model.
    """
    with _written(Path(path)) as temporary:
        _write(parts, temporary, name=name, lineage=lineage, with_tower=with_tower)
        _check_export(parts, Encoder.load(temporary))
    return Encoder.load(path)


def save_exported(
    exported: Exported, path: str | Path, *, name: str, lineage: Lineage, check: Callable[[Encoder], None]
) -> Encoder:
    """Write an encoder directory without a Keras model, completely or not at all, and load it; see ``save``.

    Args:
        exported: The encoder.
        path: Directory to write.
        name: Display name of the encoder.
        lineage: Where it comes from.
        check: Raises if the encoder is not as it should be; nothing is then written.

    Raises:
        EncoderError: ``path`` holds something other than an encoder.
    """
    with _written(Path(path)) as temporary:
        (temporary / TOKENIZER_FILE).write_text(exported.tokenizer.to_str(), encoding="utf-8")
        (temporary / ONNX_FILE).write_bytes(exported.graph)
        _write_manifest(
            temporary,
            {"kind": _EXPORTED, "name": name, "dim": exported.preprocessing.components or exported.dim, "dims": []},
            exported,
            lineage,
        )
        check(Encoder.load(temporary))
    return Encoder.load(path)


def load(path: str | Path) -> EncoderParts:
    """Return an encoder's parts, its Keras model included.

    Raises:
        EncoderError: The encoder is missing, damaged or of another format version.
    """
    path = Path(path)
    manifest = read_manifest(path)
    Encoder.load(path)  # checks the other files
    if manifest["kind"] == _EXPORTED:
        raise EncoderError(
            f"expected an encoder that can be trained; the one at {path} is another program's ONNX export, which can "
            "only be used as it is. Start from another encoder, or import the model's own weights (model.safetensors)"
        )
    if KERAS_FILE not in manifest["files"]:
        return _parts(path, manifest, tower_of_export(path / ONNX_FILE, kind=str(manifest["kind"])))
    file = path / KERAS_FILE
    if not file.is_file() or _sha256(file) != manifest["files"].get(KERAS_FILE):
        raise EncoderError(
            f"expected the {KERAS_FILE} named in the manifest of the encoder at {path}; it is missing or has changed. "
            "Restore the encoder from a copy, or make it again"
        )
    return _parts(path, manifest, load_tower(file))


def _parts(path: Path, manifest: Mapping[str, Any], tower: keras.Model) -> EncoderParts:
    return EncoderParts(
        tower=tower,
        tokenizer=Tokenizer.from_file(str(path / TOKENIZER_FILE)),
        preprocessing=Preprocessing(**manifest["preprocessing"]),
        kind=str(manifest["kind"]),
        max_tokens=int(manifest["max_tokens"]),
        precision=str(manifest.get("precision", "float32")),
        dims=tuple(map(int, manifest.get("dims", ()))),
    )


def _write(parts: EncoderParts, path: Path, *, name: str, lineage: Lineage, with_tower: bool) -> None:
    """Write the files, the manifest last."""
    (path / TOKENIZER_FILE).write_text(_plain_tokenizer(parts).to_str(), encoding="utf-8")
    if with_tower:
        parts.tower.save(path / KERAS_FILE)
    (path / ONNX_FILE).write_bytes(_STORED[parts.precision](onnx_bytes(parts.tower)))
    dim = parts.preprocessing.components or int(parts.tower.output_shape[-1])
    head = {"kind": parts.kind, "name": name, "dim": dim, "dims": list(parts.dims)}
    _write_manifest(path, head, parts, lineage)


def _write_manifest(path: Path, head: Mapping[str, object], parts: EncoderParts | Exported, lineage: Lineage) -> None:
    """Write the manifest of the files in a directory, and flush them all."""
    digests = {file: _sha256(path / file) for file in _FILES if (path / file).exists()}
    manifest = {
        "format": FORMAT,
        **head,
        "max_tokens": parts.max_tokens,
        "precision": parts.precision,
        "preprocessing": asdict(parts.preprocessing),
        "fingerprint": fingerprint(digests, preprocessing=parts.preprocessing, max_tokens=parts.max_tokens),
        "files": digests,
        "lineage": {**asdict(lineage), "libraries": {library: version(library) for library in _LIBRARIES}},
    }
    (path / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for file in path.iterdir():
        flush(file)


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """Give a new directory to fill; it takes the place of ``path`` if nothing is raised meanwhile.

    Raises:
        EncoderError: ``path`` holds something other than an encoder.
    """
    _refuse_other_content(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        _swap(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _plain_tokenizer(parts: EncoderParts) -> Tokenizer:
    """Return a copy of the tokenizer that neither pads nor truncates."""
    tokenizer = Tokenizer.from_str(parts.tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _check_export(parts: EncoderParts, encoder: Encoder) -> None:
    """Raise unless the ONNX export computes the same as the Keras model.

    Compared on ordinary texts, an empty one, a single token, the longest text that the tower reads, and padding alone.
    """
    tokenizer = _plain_tokenizer(parts)
    tokenizer.enable_truncation(parts.max_tokens)
    for text in (*_CHECKED_TEXTS, "word " * parts.max_tokens):
        expected = _embedded(parts, tokenizer, text)
        _compare(expected, encoder.encode([text]), what=repr(text[:40]), precision=parts.precision)
    session = load_graph(encoder.path / ONNX_FILE)
    padding = np.full((2, 7), parts.preprocessing.padding_id, dtype=np.int32)
    exported = session.run(None, {INPUT: padding})[0]
    expected = keras.ops.convert_to_numpy(parts.tower(padding))
    _compare(expected, exported, what="padding alone", precision=parts.precision)


def _embedded(parts: EncoderParts, tokenizer: Tokenizer, text: str) -> NDArray[np.float32]:
    """Return the Keras model's embedding of a text ``(1, dim)``, with the encoder's preprocessing."""
    given = parts.preprocessing
    ids = tokenizer.encode(text, add_special_tokens=given.special_tokens).ids or [given.empty_id]
    block = np.array([ids], dtype=np.int32)
    if given.damped:
        block = damped(block, padding=given.padding_id)
    return shortened(keras.ops.convert_to_numpy(parts.tower(block)), given.components)


def _compare(expected: NDArray[np.float32], found: NDArray[np.float32], *, what: str, precision: str) -> None:
    difference, allowed = float(np.abs(expected - found).max()), _LARGEST_DIFFERENCE[precision]
    if not difference <= allowed:
        raise EncoderError(
            f"expected the ONNX export to differ from the Keras model by at most {allowed:g}; it differs by "
            f"{difference:.2g} on {what}. Nothing was saved"
        )


def _refuse_other_content(path: Path) -> None:
    if path.exists() and not (path.is_dir() and (not any(path.iterdir()) or (path / MANIFEST_FILE).is_file())):
        raise EncoderError(
            f"expected a new or empty directory, or an encoder to replace, at {path}; there is something else. "
            "Choose another directory"
        )


def _swap(new: Path, path: Path) -> None:
    """Move ``new`` to ``path``, keeping the files at ``path`` that are not an encoder's."""
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex}.old")
    if path.exists():
        for other in path.iterdir():
            if other.name not in (*_FILES, MANIFEST_FILE):
                (shutil.copytree if other.is_dir() else shutil.copy2)(other, new / other.name)
        path.rename(old)
    new.rename(path)
    flush(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
