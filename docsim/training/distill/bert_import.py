"""Import: a sentence encoder of BERT's family becomes a docsim encoder that computes what the original does.

The directory is read as a teacher is (``distill.teacher``), its weights through keras-hub. They are put into
the layers of docsim's own transformer, which reproduce BERT: learned positions, normalisation after each part, the
exact GELU where the original has it. Pooling, normalisation and the longest text come from the directory's files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import keras
import numpy as np
import onnxruntime
from keras import ops
from numpy.typing import NDArray
from tokenizers import Tokenizer

from docsim.encoding.encoder import Encoder, Preprocessing
from docsim.errors import TrainingError
from docsim.training.distill.teacher import Teacher, load_teacher
from docsim.training.towers.artefact import Lineage, Parts, save
from docsim.training.towers.export import onnx_bytes, quantised
from docsim.training.towers.layers import Pooling, TokenVectors
from docsim.training.towers.static import PADDING_ID, UnitLength, stored_rows
from docsim.training.towers.transformer import EncoderBlock, Positions

__all__ = ["import_encoder", "imported_parts"]

_EPSILON = 1e-12
_PADDING = "[PAD]"

Progress = Callable[[str], None]


def import_encoder(
    path: Path, out: Path, *, name: str | None = None, int8: bool = False, progress: Progress | None = None
) -> Encoder:
    """Write a local sentence-transformers model of BERT's family as an encoder directory, and load it.

    Args:
        path: The model's directory; ``docsim.training.distill.teacher`` lists the files.
        out: Where the encoder goes; one that is there is replaced.
        name: For people; the directory's name if not given.
        int8: Whether matrix products compute with int8 weights and activations: smaller (token vectors stay float32)
            and faster, at a loss that is measured on texts of every length and kept in the manifest's metrics.
        progress: Called with a line about each step.

    Raises:
        TrainingError: A file is missing, or the model is not one that can be reproduced.
        EncoderError: ``out`` holds something else, or the export computes something else than the Keras model.
    """
    tell = progress or (lambda line: None)
    tell(f"Reading {path}")
    teacher = load_teacher(path)
    parts = imported_parts(teacher)
    metrics: dict[str, float] = {}
    if int8:
        tell("Measuring what int8 loses")
        parts = replace(parts, precision="int8")
        metrics = _loss_of_int8(parts)
    tell(f"Writing {out}")
    lineage = Lineage(seed=0, teacher=teacher.name, material=teacher.digest, metrics=metrics)
    return save(parts, out, name=name or teacher.name, lineage=lineage)


def imported_parts(teacher: Teacher) -> Parts:
    """Return the parts of an encoder that computes what a teacher does.

    Raises:
        TrainingError: The teacher's tokenizer does not pad with id 0.
    """
    unknown = teacher.tokenizer.token_to_id("[UNK]") or 1
    return Parts(
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
    states = _embedded(bert, ids)
    for number, theirs in enumerate(bert.transformer_layers):
        block = EncoderBlock(
            bert.num_heads,
            bert.intermediate_dim,
            norm_first=False,
            activation=teacher.activation,
            epsilon=_EPSILON,
            name=f"block_{number}",
        )
        states = block(states, ids)
        _copy_block(theirs, block)
    pooled = Pooling(teacher.pooling, dtype="float32", name="pooling")(states, ids)
    return keras.Model(ids, UnitLength(dtype="float32", name="unit_length")(pooled), name="transformer")


def _embedded(bert: Any, ids: Any) -> Any:
    """Return the states that enter the first block: token plus position, normalised."""
    vectors = _token_vectors(bert)
    tokens = TokenVectors(*vectors.shape, storage="float32", dtype="float32", name="tokens")
    positions = Positions(bert.max_sequence_length, name="positions")
    norm = keras.layers.LayerNormalization(epsilon=_EPSILON, name="first_norm")
    states = norm(positions(tokens(ids)))
    tokens.set_weights(stored_rows(vectors, storage="float32"))
    positions.set_weights([_position_vectors(bert)])
    norm.set_weights(bert.embeddings_layer_norm.get_weights())
    return states


def _token_vectors(bert: Any) -> NDArray[np.float32]:
    """Return the word embeddings, and after them that of padding again, for texts that contain ``[PAD]``."""
    vectors = np.asarray(ops.convert_to_numpy(bert.token_embedding.embeddings), dtype=np.float32)
    return np.concatenate([vectors, vectors[:1]])


def _position_vectors(bert: Any) -> NDArray[np.float32]:
    """Return the position embeddings plus that of the first segment, which is that of every token here."""
    positions, segments = bert.get_layer("position_embedding"), bert.segment_embedding
    return np.asarray(positions.get_weights()[0] + segments.get_weights()[0][0], dtype=np.float32)


def _copy_block(theirs: Any, ours: EncoderBlock) -> None:
    """Copy a keras-hub ``TransformerEncoder``, whose attention keeps its heads on an axis of their own."""
    attention, width = theirs._self_attention_layer, ours.narrow.units
    for dense, source in (
        (ours.attention.query, attention.query_dense),
        (ours.attention.key, attention.key_dense),
        (ours.attention.value, attention.value_dense),
        (ours.attention.output_projection, attention.output_dense),
    ):
        kernel, bias = source.get_weights()
        dense.set_weights([kernel.reshape(width, width), bias.reshape(width)])
    ours.attention_norm.set_weights(theirs._self_attention_layer_norm.get_weights())
    ours.widen.set_weights(theirs._feedforward_intermediate_dense.get_weights())
    ours.narrow.set_weights(theirs._feedforward_output_dense.get_weights())
    ours.feed_norm.set_weights(theirs._feedforward_layer_norm.get_weights())


def _tokenizer(teacher: Teacher) -> Tokenizer:
    """Return the teacher's tokenizer, with another id for ``[PAD]`` where a text contains it.

    The original attends to such a token; the id 0 means that there is none.
    """
    content = json.loads(teacher.tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    if not isinstance(vocabulary, dict) or vocabulary.get(_PADDING) != PADDING_ID:
        raise TrainingError(f"expected a teacher whose {_PADDING} has the id {PADDING_ID}; {teacher.name}'s has not")
    again = teacher.backbone.vocabulary_size
    vocabulary[_PADDING] = again
    for added in content["added_tokens"]:
        if added["content"] == _PADDING:
            added["id"] = again
    return Tokenizer.from_str(json.dumps(content))


def _loss_of_int8(parts: Parts) -> dict[str, float]:
    """Return the mean and the least cosine between the embeddings of some texts with int8 and without."""
    exact = onnx_bytes(parts.tower)
    tokenizer = Tokenizer.from_str(parts.tokenizer.to_str())
    tokenizer.enable_truncation(parts.max_tokens)
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(_texts())]
    cosines = (_embeddings(exact, ids) * _embeddings(quantised(exact), ids)).sum(axis=1)
    return {"int8_cosine_mean": float(cosines.mean()), "int8_cosine_min": float(cosines.min())}


def _texts() -> list[str]:
    """Return some dozens of English texts, a line to several pages long: the topics of Python's own manual."""
    return [*list(topics.values())[:48], *[text.strip().partition("\n")[0] for text in topics.values()][:16]]


def _embeddings(onnx: bytes, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"ids": np.array([one], dtype=np.int32)})[0] for one in ids])
