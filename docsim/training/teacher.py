"""Teachers: BERT-family sentence encoders in a local directory of the sentence-transformers layout.

    config.json               architecture ("model_type": "bert"), activation
    model.safetensors         weights
    tokenizer.json            the tokenizer, with [CLS] and [SEP]
    modules.json              whether embeddings are normalised
    1_Pooling/config.json     mean over tokens, or the first token
    sentence_bert_config.json tokens that the model was trained to read

The weights are read by keras-hub; torch is not needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from docsim.errors import TrainingError

__all__ = ["Teacher", "load_teacher"]

_EXACT_GELU = {"gelu", "gelu_python"}
_BATCH_TOKENS = 4096
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Teacher:
    """A sentence encoder to learn from.

    Attributes:
        name: The directory's name, for people.
        digest: SHA-256 of its weights.
        backbone: Token ids, segment ids and mask to token states ``(texts, tokens, width)``.
        tokenizer: Adds the special tokens; does not pad or cut.
        pooling: ``mean`` over a text's tokens, or ``first`` token.
        normalised: Whether embeddings have length one.
        max_tokens: Longest text it reads, special tokens included.
    """

    name: str
    digest: str
    backbone: keras.Model
    tokenizer: Tokenizer
    pooling: str
    normalised: bool
    max_tokens: int

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the teacher's embeddings of ``texts``, float32 ``(len(texts), width)``, cut at ``max_tokens``."""
        cut = Tokenizer.from_str(self.tokenizer.to_str())
        cut.enable_truncation(self.max_tokens)
        ids = [encoding.ids for encoding in cut.encode_batch_fast(list(texts))]
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
        embeddings = np.empty((len(ids), self.backbone.hidden_dim), dtype=np.float32)
        while order:
            count = max(1, _BATCH_TOKENS // len(ids[order[0]]))
            rows, order = order[:count], order[count:]
            embeddings[rows] = self._pooled([ids[row] for row in rows])
        if self.normalised:
            embeddings /= np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
        return embeddings

    def states(self, ids: NDArray[np.int32], mask: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the state of each token of one batch.

        Args:
            ids: Token ids with their special tokens ``(texts, tokens)``, no longer than the model's positions.
            mask: 1 where there is a token and 0 where there is padding, of the same shape.

        Returns:
            float32 ``(texts, tokens, width)``.
        """
        inputs = {"token_ids": ids, "segment_ids": np.zeros_like(ids), "padding_mask": mask}
        outputs = self.backbone(inputs, training=False)
        return np.asarray(keras.ops.convert_to_numpy(outputs["sequence_output"]), dtype=np.float32)

    def _pooled(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        padded = np.zeros((len(ids), max(map(len, ids))), dtype=np.int32)
        mask = np.zeros_like(padded)
        for row, one in enumerate(ids):
            padded[row, : len(one)], mask[row, : len(one)] = one, 1
        states = self.states(padded, mask)
        if self.pooling == "first":
            return states[:, 0]
        kept = mask[:, :, None].astype(np.float32)
        return np.asarray((states * kept).sum(axis=1) / kept.sum(axis=1))


def load_teacher(path: str | Path) -> Teacher:
    """Load a teacher from a local directory.

    Raises:
        TrainingError: A file is missing, or the architecture is not one that can be read.
    """
    path = Path(path)
    config = _settings(path, "config.json")
    _check_architecture(path, config)
    pooling = _settings(path, "1_Pooling/config.json", optional=True)
    modules = _settings(path, "modules.json", optional=True) or []
    reads = _settings(path, "sentence_bert_config.json", optional=True) or {}
    return Teacher(
        name=path.absolute().name,
        backbone=_backbone(path, config),
        digest=hashlib.sha256((path / _WEIGHTS).read_bytes()).hexdigest(),
        tokenizer=_tokenizer(path),
        pooling="first" if pooling and pooling.get("pooling_mode_cls_token") else "mean",
        normalised=any(str(module.get("type", "")).endswith("Normalize") for module in modules),
        max_tokens=int(reads.get("max_seq_length") or config["max_position_embeddings"]),
    )


def _check_architecture(path: Path, config: dict[str, Any]) -> None:
    """Refuse what keras-hub's BERT would load and get wrong without a word."""
    expected = {"model_type": "bert", "position_embedding_type": "absolute", "layer_norm_eps": 1e-12}
    for key, value in expected.items():
        if config.get(key, value) != value or (key == "model_type" and key not in config):
            raise TrainingError(
                f"expected a BERT-family teacher at {path} ({key} {value!r}); its config.json says "
                f"{config.get(key)!r}. Choose a teacher such as all-MiniLM-L6-v2"
            )


def _backbone(path: Path, config: dict[str, Any]) -> keras.Model:
    if not (path / _WEIGHTS).is_file():
        raise TrainingError(f"expected a teacher with a {_WEIGHTS} at {path}; there is none")
    try:
        backbone = keras_hub.models.BertBackbone.from_preset(str(path))
    except Exception as error:  # keras-hub raises many kinds
        raise TrainingError(f"the teacher at {path} cannot be loaded: {error}") from error
    if config.get("hidden_act", "gelu") in _EXACT_GELU:
        # keras-hub always takes the tanh approximation of GELU; most sentence encoders were trained with the exact one.
        for layer in backbone.transformer_layers:
            layer._feedforward_intermediate_dense.activation = partial(keras.activations.gelu, approximate=False)
    backbone.trainable = False
    return backbone


def _tokenizer(path: Path) -> Tokenizer:
    file = path / "tokenizer.json"
    if not file.is_file():
        raise TrainingError(f"expected a teacher with a tokenizer.json at {path}; there is none")
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _settings(path: Path, name: str, *, optional: bool = False) -> Any:
    file = path / name
    if optional and not file.is_file():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"expected a sentence-transformers directory at {path}; its {name} cannot be read ({error})"
        ) from error
