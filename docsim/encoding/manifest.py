"""The manifest of an encoder directory: what it says, and the fingerprint over the files it lists.

    manifest.json     format version, kind, name, dim, max_tokens, preprocessing, fingerprint, file digests, lineage

The fingerprint is a SHA-256 over everything that changes the output of the encoder: the exported tower, the tokenizer,
the preprocessing settings and ``max_tokens``. The name and the lineage are not part of it.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from docsim.errors import EncoderError

__all__ = [
    "FORMAT",
    "KERAS_FILE",
    "MANIFEST_FILE",
    "ONNX_FILE",
    "TOKENIZER_FILE",
    "Preprocessing",
    "checked_content",
    "fingerprint",
    "fingerprint_of",
    "read_manifest",
    "read_settings",
    "with_components",
]

FORMAT = 1
"""Version of the directory's layout. A directory of another version is refused."""

MANIFEST_FILE = "manifest.json"
KERAS_FILE = "tower.keras"
ONNX_FILE = "tower.onnx"
TOKENIZER_FILE = "tokenizer.json"

_LARGEST_MANIFEST = 10_000_000  # bytes; those of shipped encoders have about 1,000
_LARGEST_FILE = 2**31  # bytes; a graph of ONNX in one file is smaller
_LARGEST_NUMBER = 2**31 - 1  # of a token, as towers read them
_MOST_COMPONENTS = 65_536  # of an embedding; large models have some 4,000

_KINDS = ("average", "lstm", "transformer", "onnx")
_PRECISIONS = ("float32", "float16", "int8")
_OTHER_MODELS = ("modules.json", "config.json", "model.onnx", "onnx/model.onnx")
"""Files by which a model of another library is told."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a text becomes token ids, beyond what the tokenizer's file says.

    Attributes:
        padding_id: The id that fills up the short rows of a batch; the tower ignores it.
        empty_id: The id that stands for a text without any token.
        special_tokens: Whether the tokenizer adds its special tokens, such as ``[CLS]``.
        by_word: Whether to tokenize each whitespace-separated word by itself, which is faster. The ids are the same for
            BERT's tokenizers, as long as no special tokens are added.
        damped: Whether a token that a text repeats counts less each time; for ``average`` towers only.
        components: The number of leading components of the tower's output to keep, rescaled to unit length; None keeps
            all.
        query_prefix: What stands before the text of a question when it is encoded, such as ``"query: "``.
        document_prefix: What stands before the text of a document's passage, such as ``"passage: "``.
    """

    padding_id: int
    empty_id: int
    special_tokens: bool
    by_word: bool = False
    damped: bool = False
    components: int | None = None
    query_prefix: str = ""
    document_prefix: str = ""


def fingerprint(files: Mapping[str, str], *, preprocessing: Preprocessing, max_tokens: int) -> str:
    """Return the SHA-256 (64 hex digits) over everything that changes an encoder's output.

    Args:
        files: SHA-256 by file name, for ``tower.onnx`` and ``tokenizer.json`` at least; other files are ignored.
        preprocessing: How texts become token ids.
        max_tokens: The number of tokens of a text that are read.
    """
    # Settings added later count only when they are used, so that older encoders keep their fingerprints.
    unused = {"damped": False, "components": None, "query_prefix": "", "document_prefix": ""}
    counted = {name: value for name, value in asdict(preprocessing).items() if (name, value) not in unused.items()}
    settings = {
        "format": FORMAT,
        "max_tokens": max_tokens,
        "preprocessing": counted,
        ONNX_FILE: files[ONNX_FILE],
        TOKENIZER_FILE: files[TOKENIZER_FILE],
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest of the encoder in a directory.

    Raises:
        EncoderError: The directory or its manifest is missing, damaged or of another format version.
    """
    file = path / MANIFEST_FILE
    try:
        manifest = json.loads(_read(file, _LARGEST_MANIFEST).decode())
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(path) from None
    except (OSError, ValueError, RecursionError) as error:
        raise EncoderError(f"the encoder at {path} is damaged: {MANIFEST_FILE} cannot be read ({error})") from error
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if version != FORMAT:
        raise EncoderError(
            f"the encoder at {path} has format version {version!r}, but this docsim reads version {FORMAT}; make the "
            "encoder again, or use the version of docsim that made it"
        )
    return dict(manifest)


def _missing(path: Path) -> EncoderError:
    """Return the error for a directory without an encoder, which says where encoders come from."""
    found = f"no {MANIFEST_FILE} in it" if path.is_dir() else "no such directory"
    told = f"expected an encoder directory at {path}, or the name of a shipped encoder, fast or accurate; found {found}"
    if any((path / name).is_file() for name in _OTHER_MODELS):
        command = f"docsim encoder import {shlex.quote(str(path))} --out {shlex.quote(f'encoders/{path.name}')}"
        return EncoderError(f"{told}, but a model that can be imported", hint=command)
    hint = "docsim train, which makes one of your documents, or docsim encoder import, which takes over another model"
    return EncoderError(told, hint=hint)


def fingerprint_of(path: Path) -> str:
    """Return the fingerprint of the files in an encoder directory, without loading them.

    It is computed from the files and settings, not read from the manifest's ``fingerprint``.

    Raises:
        EncoderError: A file is missing or damaged.
    """
    preprocessing, max_tokens, digests = read_settings(path, read_manifest(path))
    for file in (ONNX_FILE, TOKENIZER_FILE):
        checked_content(path / file, digests)
    return fingerprint(digests, preprocessing=preprocessing, max_tokens=max_tokens)


def read_settings(path: Path, manifest: Mapping[str, Any]) -> tuple[Preprocessing, int, dict[str, str]]:
    """Return how texts become token ids, how many tokens are read, and the digests of files, as a manifest says.

    Args:
        path: The encoder's directory, for the message of an error.
        manifest: The encoder's manifest.

    Raises:
        EncoderError: A field is missing, or is not what an encoder can have.
    """
    try:
        settings, max_tokens = Preprocessing(**manifest["preprocessing"]), manifest["max_tokens"]
        dim, components, digests = manifest["dim"], settings.components, dict(manifest["files"])
        _check(_is_whole(max_tokens, 1, _LARGEST_NUMBER), "max_tokens", max_tokens)
        _check(_is_whole(dim, 1, _MOST_COMPONENTS), "dim", dim)
        _check(manifest["kind"] in _KINDS, "kind", manifest["kind"])
        _check(manifest.get("precision", "float32") in _PRECISIONS, "precision", manifest.get("precision"))
        dims = manifest.get("dims", [])
        _check(isinstance(dims, list) and all(_is_whole(one, 1, _MOST_COMPONENTS) for one in dims), "dims", dims)
        _check(components is None or components == dim, "components", components)
        for name in ("padding_id", "empty_id"):
            number = getattr(settings, name)
            _check(_is_whole(number, -_LARGEST_NUMBER, _LARGEST_NUMBER), name, number)
        _check(isinstance(manifest.get("lineage", {}), dict), "lineage", manifest.get("lineage"))
    except (KeyError, TypeError, ValueError) as error:
        raise EncoderError(
            f"the encoder at {path} is damaged: {MANIFEST_FILE} has a missing or wrong field ({error})"
        ) from error
    return settings, max_tokens, digests


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _check(is_right: bool, name: str, value: object) -> None:
    if not is_right:
        raise ValueError(f"{name}: {str(value)[:40]!r}")


def with_components(path: Path, manifest: Mapping[str, Any], dim: int) -> dict[str, Any]:
    """Return the manifest of the encoder that keeps the first ``dim`` components of this one.

    Args:
        path: The encoder's directory, for the message of an error.
        manifest: The encoder's manifest.
        dim: The number of components to keep.

    Raises:
        EncoderError: The encoder was not trained for ``dim`` components.
    """
    if dim == manifest.get("dim"):
        return dict(manifest)
    trained = [one for one in manifest.get("dims", ()) if one < manifest["dim"]]
    if dim not in trained:
        raise EncoderError(
            f"expected a number of components that the encoder at {path} was trained for: "
            f"{', '.join(map(str, [manifest.get('dim'), *trained]))}; got {dim}"
        )
    preprocessing = replace(Preprocessing(**manifest["preprocessing"]), components=dim)
    settings = {"preprocessing": asdict(preprocessing), "dim": dim}
    found = fingerprint(manifest["files"], preprocessing=preprocessing, max_tokens=int(manifest["max_tokens"]))
    return {**manifest, **settings, "name": f"{manifest['name']} ({dim})", "fingerprint": found}


def checked_content(file: Path, digests: Mapping[str, str]) -> bytes:
    """Return the content of a file of an encoder, after comparing it with its digest.

    Args:
        file: The file.
        digests: SHA-256 by file name, from the manifest.

    Raises:
        EncoderError: The file cannot be read, or is not the one that the manifest describes.
    """
    try:
        content = _read(file, _LARGEST_FILE)
    except (OSError, ValueError) as error:
        raise EncoderError(f"the encoder at {file.parent} is damaged: {file.name} cannot be read ({error})") from error
    if hashlib.sha256(content).hexdigest() != digests.get(file.name):
        raise EncoderError(
            f"the encoder at {file.parent} is damaged: {file.name} does not match its digest in {MANIFEST_FILE}; copy "
            "or make the encoder again"
        )
    return content


def _read(file: Path, most: int) -> bytes:
    """Return the content of a file that may come from a stranger: no device or pipe, which may have no end.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no file, or larger than ``most`` bytes.
    """
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no regular file")
    if found.st_size > most:
        raise ValueError(f"it is larger than {most / 1e6:,.0f} MB")
    return file.read_bytes()
