"""Importing a model from a local directory, as a docsim encoder that computes the same embeddings.

    static embeddings of model2vec or sentence-transformers   an ``average`` tower, which can be trained on
    weights of a transformer of a known family                a ``transformer`` tower, which can be trained on
    any other model with an ONNX export of its own            the graph as it is, which cannot be trained

Embeddings always have length one in docsim, whether or not the original scales them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
from tokenizers import Tokenizer

from docsim.encoding.encoder import Encoder
from docsim.encoding.tower_session import TowerSession
from docsim.errors import TrainingError
from docsim.progress import SILENT, Progress
from docsim.training.imports.checkpoint import FAMILIES
from docsim.training.imports.graph_model import FILES, graph_file, graph_parts, reference_check
from docsim.training.imports.model_directory import WEIGHTS_FILE, ModelDirectory, Prompts
from docsim.training.imports.prefixes import chosen_prompts
from docsim.training.imports.static_model import is_static, static_parts
from docsim.training.imports.transformer_model import is_transformer, transformer_parts
from docsim.training.towers.bert import Floats
from docsim.training.towers.export import onnx_bytes, quantised
from docsim.training.towers.saving import EncoderParts, Exported, Lineage, save, save_exported

__all__ = ["Wishes", "import_encoder", "imported_parts"]

_LEAST_ROOM = 1  # tokens of a text that a prefix must leave


@dataclass(frozen=True, slots=True)
class Wishes:
    """What an import should be like; by default like the original.

    Attributes:
        convention: What stands before texts: one of ``prefixes.CONVENTIONS``.
        query_prefix: What stands before questions.
        document_prefix: What stands before documents.
        dim: Leading components to keep, for models that were trained for that (Matryoshka representation learning).
        int8: Whether matrix products use int8 weights and activations. The encoder is then smaller, although token
            vectors stay float32, and faster. What this loses is measured on short and long texts and stored as the
            metrics ``int8_cosine_mean`` and ``int8_cosine_min`` of the manifest.
        graph: Whether to take the model's own ONNX export, even if its weights can be read.
    """

    convention: str | None = None
    query_prefix: str | None = None
    document_prefix: str | None = None
    dim: int | None = None
    int8: bool = False
    graph: bool = False


def import_encoder(
    path: Path,
    out: Path,
    wishes: Wishes = Wishes(),  # frozen
    *,
    name: str | None = None,
    progress: Progress = SILENT,
) -> Encoder:
    """Write a local model as an encoder directory, and load it.

    Args:
        path: The model's directory; ``docsim.training.imports.model_directory`` lists the files.
        out: Directory to write; an encoder that is already there is replaced.
        wishes: What the import should be like.
        name: Display name; by default the name of the model's directory.
        progress: Told what is being done.

    Raises:
        TrainingError: A file is missing, or the model cannot be reproduced.
        EncoderError: ``out`` holds something other than an encoder, or the import does not compute the same as the
            original.
    """
    progress.say(f"Reading {path}")
    model = ModelDirectory.open(path)
    prompts = chosen_prompts(
        model, convention=wishes.convention, query=wishes.query_prefix, document=wishes.document_prefix
    )
    parts, source = _parts(model, wishes)
    parts = _with_wishes(parts, prompts, wishes)
    metrics: dict[str, float] = {}
    exact = parts
    if wishes.int8:
        progress.say("Measuring the loss of int8")
        parts, metrics = _in_int8(parts)
    progress.say(f"Writing {out}")
    lineage = Lineage(seed=0, teacher=model.name, material=_digest(source), metrics=metrics)
    named = name or model.name
    if isinstance(parts, EncoderParts):
        return save(parts, out, name=named, lineage=lineage)
    check = reference_check(model, source, tolerance=0.1 if parts is not exact else 1e-4)
    return save_exported(parts, out, name=named, lineage=lineage, check=check)


def imported_parts(model: ModelDirectory) -> EncoderParts:
    """Return the parts of an encoder that computes the same as a model whose weights can be read.

    Raises:
        TrainingError: They cannot, or the model cannot be reproduced.
    """
    return static_parts(model) if is_static(model) else transformer_parts(model)


def _parts(model: ModelDirectory, wishes: Wishes) -> tuple[EncoderParts | Exported, Path]:
    """Return the encoder, and the file that it was made from."""
    file = graph_file(model)
    if wishes.graph and file is None:
        raise TrainingError(f"expected an ONNX export, {' or '.join(FILES)}, at {model.path}; there is none")
    readable = is_static(model) or is_transformer(model)
    if file is not None and (wishes.graph or not readable):
        return graph_parts(model, file), file
    if not readable:
        _refuse(model)
    return imported_parts(model), model.core / WEIGHTS_FILE


def _refuse(model: ModelDirectory) -> None:
    """Say why a model cannot be imported."""
    kind, named = model.modules[0].kind, model.config().get("model_type")
    if kind == "Transformer" and named in list(FAMILIES):
        raise TrainingError(
            f"expected a {WEIGHTS_FILE} at {model.core}; there is none. docsim reads no format of weights that can run "
            "code, such as pytorch_model.bin: save the model again as safetensors"
        )
    raise TrainingError(
        f"expected a static embedding, a model of one of the families {', '.join(FAMILIES)}, or an ONNX export "
        f"({' or '.join(FILES)}) at {model.path}; it is {named or kind!r} without such an export"
    )


def _with_wishes(parts: EncoderParts | Exported, prompts: Prompts, wishes: Wishes) -> EncoderParts | Exported:
    """Return an encoder with its prefixes, and with fewer components if that is wanted.

    Raises:
        TrainingError: It has not so many components, or a prefix leaves no room for a text.
    """
    full = parts.dim if isinstance(parts, Exported) else int(parts.tower.output_shape[-1])
    if wishes.dim is not None and not 1 <= wishes.dim <= full:
        raise TrainingError(f"expected from 1 to {full} components, which this model has; got {wishes.dim}")
    special = parts.tokenizer.num_special_tokens_to_add(is_pair=False)
    if parts.max_tokens <= special:
        raise TrainingError(
            f"expected a model that reads more than the {special} tokens around each text; it reads {parts.max_tokens}"
        )
    for prefix in (prompts.query, prompts.document):
        if len(parts.tokenizer.encode(prefix).ids) > parts.max_tokens - _LEAST_ROOM and prefix:
            raise TrainingError(
                f"expected prefixes that leave room for a text in the {parts.max_tokens} tokens that the model reads; "
                f"got {prefix!r}"
            )
    preprocessing = replace(
        parts.preprocessing,
        query_prefix=prompts.query,
        document_prefix=prompts.document,
        components=None if wishes.dim == full else wishes.dim,
    )
    return replace(parts, preprocessing=preprocessing)


def _in_int8(parts: EncoderParts | Exported) -> tuple[EncoderParts | Exported, dict[str, float]]:
    """Return an encoder that computes with int8, and the mean and the smallest cosine with what it was before."""
    exact = parts.graph if isinstance(parts, Exported) else onnx_bytes(parts.tower)
    small = quantised(exact)
    tokenizer = Tokenizer.from_str(parts.tokenizer.to_str())
    tokenizer.enable_truncation(parts.max_tokens)
    special = parts.preprocessing.special_tokens
    ids = [one.ids for one in tokenizer.encode_batch_fast(_texts(), add_special_tokens=special) if one.ids]
    cosines = (_embeddings(exact, ids) * _embeddings(small, ids)).sum(axis=1)
    metrics = {"int8_cosine_mean": float(cosines.mean()), "int8_cosine_min": float(cosines.min())}
    if isinstance(parts, Exported):
        return replace(parts, graph=small, precision="int8"), metrics
    return replace(parts, precision="int8"), metrics


def _texts() -> list[str]:
    """Return some dozens of English texts, from one line to several pages: help topics that come with Python."""
    return [*list(topics.values())[:48], *[text.strip().partition("\n")[0] for text in topics.values()][:16]]


def _embeddings(onnx: bytes, ids: Sequence[Sequence[int]]) -> Floats:
    session = TowerSession(onnx, "onnx")
    rows = [session.run(np.array([one], dtype=np.int32)) for one in ids]
    return np.concatenate(rows)


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
