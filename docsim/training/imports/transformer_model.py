"""Transformers with their weights: a tower of docsim's own layers that computes the same, and can be trained on."""

from __future__ import annotations

import keras
import numpy as np
from tokenizers import Tokenizer

from docsim.encoding.encoder import Preprocessing
from docsim.errors import TrainingError
from docsim.training.imports.checkpoint import FAMILIES, Block, Transformer, read_transformer
from docsim.training.imports.dense import DenseLayer, dense_layers
from docsim.training.imports.first_id import first_id_freed, highest_id, lowercased, unknown_id
from docsim.training.imports.model_directory import WEIGHTS_FILE, ModelDirectory
from docsim.training.towers.average import TOKENS_LAYER, stored_rows
from docsim.training.towers.layers import PADDING_ID, Pooling, Tensor, TokenVectors, UnitLength
from docsim.training.towers.saving import EncoderParts
from docsim.training.towers.transformer import Distances, EncoderBlock, Positions

__all__ = ["is_transformer", "transformer_parts"]

_MODULES = ("Transformer", "Pooling", "Dense", "Normalize", "Dropout")
_LARGEST_FILE = 2_000_000_000  # bytes of an ONNX file: a limit of protobuf


def is_transformer(model: ModelDirectory) -> bool:
    """Return whether a directory holds the weights of a transformer of a known family."""
    if model.modules[0].kind != "Transformer" or not (model.core / WEIGHTS_FILE).is_file():
        return False
    return (model.core / "config.json").is_file() and model.config().get("model_type") in FAMILIES


def transformer_parts(model: ModelDirectory) -> EncoderParts:
    """Return the parts of an encoder that computes the same as a model, without what stands before texts.

    Raises:
        TrainingError: A file is missing or damaged, or the model does something that cannot be reproduced.
    """
    _check_modules(model)
    read, dense = read_transformer(model), dense_layers(model)
    if 4 * _numbers(read) > _LARGEST_FILE:
        raise TrainingError(
            f"expected a model of at most {_LARGEST_FILE // 4_000_000} million weights at {model.path}, which fit into "
            f"one ONNX file; it has {_numbers(read) // 1_000_000} million"
        )
    tokenizer, new_id = _tokenizer(model, len(read.words))
    unknown = unknown_id(tokenizer)
    return EncoderParts(
        tower=_tower(read, dense, model.pooling(), new_id),
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


def _tower(read: Transformer, dense: list[DenseLayer], pooling: str, new_id: int) -> keras.Model:
    ids = keras.Input(shape=(None,), dtype="int32", name="ids")
    states = _embedding(read, ids, new_id)
    bias = _biases(read, ids)
    for number, weights in enumerate(read.blocks):
        block = EncoderBlock(
            read.heads,
            len(weights.widen[1]),
            norm_first=False,
            activation=read.activation,
            epsilon=read.epsilon,
            name=f"block_{number}",
        )
        states = block(states, ids, *bias)
        _copy_block(weights, block)
    rows = Pooling(pooling, dtype="float32", name="pooling")(states, ids)
    for number, layer in enumerate(dense):
        rows = _mapped(rows, layer, number)
    return keras.Model(ids, UnitLength(dtype="float32", name="unit_length")(rows), name="transformer")


def _embedding(read: Transformer, ids: Tensor, new_id: int) -> Tensor:
    """Return the input of the first block: token plus position embedding, normalised."""
    vectors = np.concatenate([read.words, read.words[:1]])  # row 0 once more: see ``first_id``
    tokens = TokenVectors(*vectors.shape, storage="float32", dtype="float32", name=TOKENS_LAYER)
    positions = Positions(len(read.positions), name="positions")
    norm = keras.layers.LayerNormalization(epsilon=read.epsilon, name="first_norm")
    states = norm(positions(tokens(ids)))
    tokens.set_weights(stored_rows(vectors, storage="float32"))
    positions.set_weights([read.positions])
    norm.set_weights(read.first_norm)
    return states


def _biases(read: Transformer, ids: Tensor) -> list[Tensor]:
    """Return the biases of attention by distance, if there are any."""
    if read.distances is None:
        return []
    layer = Distances(read.heads, len(read.positions), buckets=len(read.distances), dtype="float32", name="distances")
    biases = layer(ids)
    layer.set_weights([read.distances])
    return [biases]


def _copy_block(weights: Block, block: EncoderBlock) -> None:
    block.attention.query.set_weights(weights.query)
    block.attention.key.set_weights(weights.key)
    block.attention.value.set_weights(weights.value)
    block.attention.output_projection.set_weights(weights.output)
    block.attention_norm.set_weights(weights.attention_norm)
    block.widen.set_weights(weights.widen)
    block.narrow.set_weights(weights.narrow)
    block.feed_norm.set_weights(weights.feed_norm)


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
