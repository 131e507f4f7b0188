"""Transformers with their weights: a tower of docsim's own layers that computes the same, and can be trained on."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
from tokenizers import Tokenizer

from docsim.encoding.encoder import Preprocessing
from docsim.errors import TrainingError
from docsim.training.imports.checkpoint import FAMILIES, read_transformer
from docsim.training.imports.dense import DenseLayer, dense_layers
from docsim.training.imports.first_id import first_id_freed, highest_id, lowercased, unknown_id
from docsim.training.imports.model_directory import WEIGHTS_FILE, ModelDirectory
from docsim.training.imports.tensors import MOST_NUMBERS
from docsim.training.towers.bert import Block, Transformer, states_of
from docsim.training.towers.layers import PADDING_ID, Pooling, Tensor, UnitLength
from docsim.training.towers.saving import EncoderParts

__all__ = ["is_transformer", "transformer_parts"]

_MODULES = ("Transformer", "Pooling", "Dense", "Normalize", "Dropout")


def is_transformer(model: ModelDirectory) -> bool:
    """Return whether a directory holds the weights of a transformer of a known family."""
    if model.modules[0].kind != "Transformer" or not (model.core / WEIGHTS_FILE).is_file():
        return False
    return (model.core / "config.json").is_file() and model.config().get("model_type") in list(FAMILIES)


def transformer_parts(model: ModelDirectory) -> EncoderParts:
    """Return the parts of an encoder that computes the same as a model, without what stands before texts.

    Raises:
        TrainingError: A file is missing or damaged, or the model does something that cannot be reproduced.
    """
    _check_modules(model)
    read, dense = read_transformer(model), dense_layers(model)
    if _numbers(read) > MOST_NUMBERS:
        raise TrainingError(
            f"expected a model of at most {MOST_NUMBERS // 1_000_000} million weights at {model.path}, which fit into "
            f"one ONNX file; it has {_numbers(read) // 1_000_000} million"
        )
    tokenizer, new_id = _tokenizer(model, len(read.words))
    unknown = unknown_id(tokenizer)
    return EncoderParts(
        tower=_tower(
            replace(read, words=np.concatenate([read.words, read.words[:1]])), dense, model.pooling()
        ),  # see ``first_id``
        tokenizer=tokenizer,
        preprocessing=Preprocessing(PADDING_ID, new_id if unknown is None else unknown, special_tokens=True),
        kind="transformer",
        max_tokens=model.max_tokens(most=len(read.positions)),
    )


def _check_modules(model: ModelDirectory) -> None:
    """Refuse a model that does more than pool its states, map them linearly and scale them."""
    for module in model.modules:
        if module.kind not in _MODULES:
            raise TrainingError(
                f"expected a model at {model.path} with only the modules {', '.join(_MODULES)}; its modules.json has "
                f"{module.kind!r}"
            )


def _tokenizer(model: ModelDirectory, rows: int) -> tuple[Tokenizer, int]:
    """Return the tokenizer with id 0 free for padding, and the id that its token has now."""
    tokenizer = model.tokenizer()
    highest = highest_id(tokenizer)
    if highest >= rows:
        raise TrainingError(
            f"expected a tokenizer at {model.path} with ids below {rows}, the number of its token vectors; it has "
            f"{highest}"
        )
    tokenizer = first_id_freed(tokenizer, rows)
    return (lowercased(tokenizer) if model.lowers_case() else tokenizer), rows


def _tower(read: Transformer, dense: list[DenseLayer], pooling: str) -> keras.Model:
    ids = keras.Input(shape=(None,), dtype="int32", name="ids")
    rows = Pooling(pooling, dtype="float32", name="pooling")(states_of(read, ids), ids)
    for number, layer in enumerate(dense):
        rows = _mapped(rows, layer, number)
    return keras.Model(ids, UnitLength(dtype="float32", name="unit_length")(rows), name="transformer")


def _mapped(rows: Tensor, layer: DenseLayer, number: int) -> Tensor:
    kernel, *bias = layer.weights
    if kernel.shape[0] != rows.shape[-1]:
        raise TrainingError(f"expected a linear layer from {rows.shape[-1]} components; got one from {kernel.shape[0]}")
    dense = keras.layers.Dense(kernel.shape[1], use_bias=bool(bias), dtype="float32", name=f"dense_{number}")
    mapped = dense(rows)
    dense.set_weights(layer.weights)
    if not layer.operator:
        return mapped
    return keras.layers.Activation(layer.operator.lower(), dtype="float32", name=f"activation_{number}")(mapped)


def _numbers(read: Transformer) -> int:
    blocks = sum(one.size for block in read.blocks for name in Block.__slots__ for one in getattr(block, name))
    return int(read.words.size + read.positions.size + blocks)
