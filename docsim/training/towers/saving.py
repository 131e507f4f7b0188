"""Artefacts: a tower and its tokenizer become an encoder directory, and a directory a tower again.

Nothing is written under the final name until all is complete and checked: the directory appears by one rename.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
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
from docsim.training.towers.export import INPUT, onnx_bytes, quantised
from docsim.training.towers.kinds import load_tower

__all__ = ["Lineage", "Parts", "load", "save"]

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""Largest difference between Keras and ONNX, per component of a unit row, that an encoder may be saved with."""

_LARGEST_LOSS = {"float32": TOLERANCE, "int8": 0.1}  # what int8 loses is for whoever asks for it to measure

_LIBRARIES = ("keras", "tensorflow", "keras-hub", "tf2onnx", "onnx", "onnxruntime", "tokenizers", "numpy")
_FILES = (KERAS_FILE, ONNX_FILE, TOKENIZER_FILE)
_ORDINARY = (
    "",
    "a",
    "How do I rotate the signing keys of a service?",
    "The quick brown fox jumps over the lazy dog.\n\nThen it rests, 3.14 times as long as the dog did.",
    "naïve café \U0001f600 \u4e2d\u6587 \x00 x" * 20,
)


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where an encoder comes from; kept in its manifest, not part of its fingerprint.

    Attributes:
        seed: Seed of whatever was random.
        parent: Fingerprint of the encoder that training started from.
        teacher: Name of the encoder that it was distilled from, or learned from beside texts.
        material: SHA-256 of what it was made from: the teacher's weights, or the training texts.
        metrics: Numbers by name.
        held_out: Ids of the documents that training held out, by which what it made can be measured fairly.
        adapted: Whether its token weights are those of a corpus that it was trained on without labels.
    """

    seed: int
    parent: str | None = None
    teacher: str | None = None
    material: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    held_out: Sequence[str] = ()
    adapted: bool = False


@dataclass(frozen=True, slots=True)
class Parts:
    """What an encoder is made of.

    Attributes:
        tower: From ids ``(texts, tokens)`` int32 to unit rows ``(texts, dim)`` float32.
        tokenizer: Maps texts to the tower's ids.
        preprocessing: Padding, empty texts and special tokens.
        kind: What the tower is: one of ``docsim.training.towers.kinds.KINDS``.
        max_tokens: Tokens of a text that the tower reads.
        precision: What the export computes its matrix products in: ``float32``, or ``int8`` for a smaller and faster
            encoder that agrees less with the tower.
        dims: Numbers of leading components that the tower was trained to do with alone.
    """

    tower: keras.Model
    tokenizer: Tokenizer
    preprocessing: Preprocessing
    kind: str
    max_tokens: int
    precision: str = "float32"
    dims: tuple[int, ...] = ()


def save(parts: Parts, path: str | Path, *, name: str, lineage: Lineage) -> Encoder:
    """Write an encoder directory, whole or not at all, and load it.

    An encoder that is already at ``path`` is replaced; files beside it that are not the encoder's, such as a
    ``README.md``, are kept.

    Raises:
        EncoderError: ``path`` holds something else, or the ONNX export computes something else than the Keras model.
    """
    path = Path(path)
    _refuse_other_content(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    temporary.mkdir()
    try:
        _write(parts, temporary, name=name, lineage=lineage)
        _check_agreement(parts, Encoder.load(temporary))
        _swap(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Encoder.load(path)


def load(path: str | Path) -> Parts:
    """Return the parts of an encoder, its Keras model ready to be trained further.

    Raises:
        EncoderError: It is missing, damaged or of another format version.
    """
    path = Path(path)
    manifest = read_manifest(path)
    Encoder.load(path)
    file = path / KERAS_FILE
    if not file.is_file() or _sha256(file) != manifest["files"].get(KERAS_FILE):
        raise EncoderError(f"the encoder at {path} is damaged: {KERAS_FILE} is missing or not the file it should be")
    return Parts(
        tower=load_tower(str(file)),
        tokenizer=Tokenizer.from_file(str(path / TOKENIZER_FILE)),
        preprocessing=Preprocessing(**manifest["preprocessing"]),
        kind=str(manifest["kind"]),
        max_tokens=int(manifest["max_tokens"]),
        precision=str(manifest.get("precision", "float32")),
        dims=tuple(map(int, manifest.get("dims", ()))),
    )


def _write(parts: Parts, path: Path, *, name: str, lineage: Lineage) -> None:
    """Write the four files; the manifest last."""
    tokenizer = Tokenizer.from_str(parts.tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    (path / TOKENIZER_FILE).write_text(tokenizer.to_str(), encoding="utf-8")
    parts.tower.save(path / KERAS_FILE)
    onnx = onnx_bytes(parts.tower)
    (path / ONNX_FILE).write_bytes(quantised(onnx) if parts.precision == "int8" else onnx)
    digests = {file: _sha256(path / file) for file in _FILES}
    manifest = {
        "format": FORMAT,
        "kind": parts.kind,
        "name": name,
        "dim": parts.preprocessing.components or int(parts.tower.output_shape[-1]),
        "dims": list(parts.dims),
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


def _check_agreement(parts: Parts, encoder: Encoder) -> None:
    """Refuse an export that computes something else than the Keras model does.

    Checked on ordinary texts, an empty one, one token, the longest text the tower reads, and padding alone.
    """
    tokenizer = Tokenizer.from_str(parts.tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.enable_truncation(parts.max_tokens)
    special, allowed = parts.preprocessing.special_tokens, _LARGEST_LOSS[parts.precision]
    for text in (*_ORDINARY, "word " * parts.max_tokens):
        ids = tokenizer.encode(text, add_special_tokens=special).ids or [parts.preprocessing.empty_id]
        block = np.array([ids], dtype=np.int32)
        if parts.preprocessing.damped:
            block = damped(block, padding=parts.preprocessing.padding_id)
        expected = shortened(keras.ops.convert_to_numpy(parts.tower(block)), parts.preprocessing.components)
        _compare(expected, encoder.encode([text]), what=repr(text[:40]), allowed=allowed)
    session = onnxruntime.InferenceSession(encoder.path / ONNX_FILE, providers=["CPUExecutionProvider"])
    padding = np.full((2, 7), parts.preprocessing.padding_id, dtype=np.int32)
    exported = session.run(None, {INPUT: padding})[0]
    _compare(parts.tower(padding), exported, what="padding alone", allowed=allowed)


def _compare(expected: Any, found: NDArray[np.float32], *, what: str, allowed: float) -> None:
    difference = float(np.abs(keras.ops.convert_to_numpy(expected) - found).max())
    if not difference <= allowed:
        raise EncoderError(
            f"the ONNX export differs from the Keras model by {difference:.2g} on {what}; at most {allowed:g} is "
            "allowed, so nothing was saved"
        )


def _refuse_other_content(path: Path) -> None:
    if path.exists() and not (path.is_dir() and (not any(path.iterdir()) or (path / MANIFEST_FILE).is_file())):
        raise EncoderError(
            f"expected a new or empty directory, or an encoder to replace, at {path}; there is something else. "
            "Choose another place"
        )


def _swap(new: Path, path: Path) -> None:
    """Put ``new`` in the place of ``path``, keeping what else is in it."""
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
