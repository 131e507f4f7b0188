"""Importing a BERT-family sentence encoder, as a docsim encoder that computes the same embeddings.

The model's directory is read as a teacher's is (``docsim.training.distill.teacher``). Its weights are copied into the
layers of docsim's own transformer, configured as BERT: learned positions, normalisation after each sub-layer, and the
exact GELU if the original uses it. Pooling, normalisation and the longest text come from the directory's files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from pydoc_data.topics import topics

import keras
import numpy as np
from tokenizers import Tokenizer

from docsim.encoding.encoder import Encoder, Preprocessing
from docsim.errors import TrainingError
from docsim.runtime import onnxruntime
from docsim.training.data.batches import Floats
from docsim.training.distill.keras_hub_private import block_weights, position_vectors, word_vectors
from docsim.training.distill.teacher import Teacher, load_teacher
from docsim.training.towers.average import TOKENS_LAYER, stored_rows
from docsim.training.towers.export import INPUT, onnx_bytes, quantised
from docsim.training.towers.layers import PADDING_ID, Pooling, Tensor, TokenVectors, UnitLength
from docsim.training.towers.saving import EncoderParts, Lineage, save
from docsim.training.towers.transformer import EncoderBlock, Positions

__all__ = ["import_encoder", "imported_parts"]

_EPSILON = 1e-12
_PADDING = "[PAD]"


def import_encoder(
    path: Path,
    out: Path,
    *,
    name: str | None = None,
    int8: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Encoder:
    """Write a local BERT-family sentence-transformers model as an encoder directory, and load it.

    Args:
        path: The model's directory; ``docsim.training.distill.teacher`` lists the files.
        out: Directory to write; an encoder that is already there is replaced.
        name: Display name; by default the name of the model's directory.
        int8: Whether matrix products use int8 weights and activations. The encoder is then smaller, although token
            vectors stay float32, and faster. What this loses is measured on short and long texts and stored as the
            metrics ``int8_cosine_mean`` and ``int8_cosine_min`` of the manifest.
        progress: Called with a description of each step.

    Raises:
        TrainingError: A file is missing, or the model cannot be reproduced.
        EncoderError: ``out`` holds something other than an encoder, or the ONNX export does not compute the same as
            the Keras model.
    """
    report = progress or (lambda step: None)
    report(f"Reading {path}")
    teacher = load_teacher(path)
    parts = imported_parts(teacher)
    metrics: dict[str, float] = {}
    if int8:
        report("Measuring the loss of int8")
        parts = replace(parts, precision="int8")
        metrics = _loss_of_int8(parts)
    report(f"Writing {out}")
    lineage = Lineage(seed=0, teacher=teacher.name, material=teacher.digest, metrics=metrics)
    return save(parts, out, name=name or teacher.name, lineage=lineage)


def imported_parts(teacher: Teacher) -> EncoderParts:
    """Return the parts of an encoder that computes the same as a teacher.

    Raises:
        TrainingError: The teacher's tokenizer does not use id 0 for padding.
    """
    unknown = teacher.tokenizer.token_to_id("[UNK]") or 1
    return EncoderParts(
        tower=_tower(teacher),
        tokenizer=_tokenizer(teacher),
        preprocessing=Preprocessing(PADDING_ID, unknown, special_tokens=True, by_word=False),
        kind="transformer",
        max_tokens=teacher.max_tokens,
    )


def _tower(teacher: Teacher) -> keras.Model:
    """Return a tower of docsim's layers with the teacher's weights."""
    bert = teacher.backbone
    ids = keras.Input(shape=(None,), dtype="int32", name="ids")
    states = _embedding(bert, ids)
    for number, source in enumerate(bert.transformer_layers):
        block = EncoderBlock(
            bert.num_heads,
            bert.intermediate_dim,
            norm_first=False,
            activation=teacher.activation,
            epsilon=_EPSILON,
            name=f"block_{number}",
        )
        states = block(states, ids)
        _copy_block(source, block)
    pooled = Pooling(teacher.pooling, dtype="float32", name="pooling")(states, ids)
    return keras.Model(ids, UnitLength(dtype="float32", name="unit_length")(pooled), name="transformer")


def _embedding(bert: keras.Model, ids: Tensor) -> Tensor:
    """Return the input of the first block: token plus position embedding, normalised."""
    vectors = word_vectors(bert)
    vectors = np.concatenate([vectors, vectors[:1]])  # padding once more, for texts that contain the word [PAD]
    tokens = TokenVectors(*vectors.shape, storage="float32", dtype="float32", name=TOKENS_LAYER)
    positions = Positions(bert.max_sequence_length, name="positions")
    norm = keras.layers.LayerNormalization(epsilon=_EPSILON, name="first_norm")
    states = norm(positions(tokens(ids)))
    tokens.set_weights(stored_rows(vectors, storage="float32"))
    positions.set_weights([position_vectors(bert)])
    norm.set_weights(bert.embeddings_layer_norm.get_weights())
    return states


def _copy_block(source: keras.layers.Layer, block: EncoderBlock) -> None:
    """Copy the weights of a keras-hub ``TransformerEncoder``."""
    weights = block_weights(source, width=block.narrow.units)
    block.attention.query.set_weights(weights.query)
    block.attention.key.set_weights(weights.key)
    block.attention.value.set_weights(weights.value)
    block.attention.output_projection.set_weights(weights.attention_output)
    block.attention_norm.set_weights(weights.attention_norm)
    block.widen.set_weights(weights.feed_forward_in)
    block.narrow.set_weights(weights.feed_forward_out)
    block.feed_norm.set_weights(weights.feed_forward_norm)


def _tokenizer(teacher: Teacher) -> Tokenizer:
    """Return the teacher's tokenizer with another id for the word ``[PAD]`` in a text.

    The original model attends to such a token, whereas docsim's towers ignore everything with id 0.
    """
    content = json.loads(teacher.tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    if not isinstance(vocabulary, dict) or vocabulary.get(_PADDING) != PADDING_ID:
        raise TrainingError(
            f"expected a teacher whose tokenizer gives {_PADDING} the id {PADDING_ID}; that of {teacher.name} does not"
        )
    new_id = teacher.backbone.vocabulary_size
    vocabulary[_PADDING] = new_id
    for added in content["added_tokens"]:
        if added["content"] == _PADDING:
            added["id"] = new_id
    return Tokenizer.from_str(json.dumps(content))


def _loss_of_int8(parts: EncoderParts) -> dict[str, float]:
    """Return the mean and the smallest cosine between texts' embeddings with int8 and without."""
    exact = onnx_bytes(parts.tower)
    tokenizer = Tokenizer.from_str(parts.tokenizer.to_str())
    tokenizer.enable_truncation(parts.max_tokens)
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(_texts())]
    cosines = (_embeddings(exact, ids) * _embeddings(quantised(exact), ids)).sum(axis=1)
    return {"int8_cosine_mean": float(cosines.mean()), "int8_cosine_min": float(cosines.min())}


def _texts() -> list[str]:
    """Return some dozens of English texts, from one line to several pages: help topics that come with Python."""
    return [*list(topics.values())[:48], *[text.strip().partition("\n")[0] for text in topics.values()][:16]]


def _embeddings(onnx: bytes, ids: Sequence[Sequence[int]]) -> Floats:
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    rows = [session.run(None, {INPUT: np.array([one], dtype=np.int32)})[0] for one in ids]
    return np.concatenate(rows)
