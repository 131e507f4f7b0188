"""Teachers: BERT-family sentence encoders in a local directory of the sentence-transformers layout.

    config.json               architecture ("model_type": "bert"), activation
    model.safetensors         weights
    tokenizer.json            the tokenizer, with [CLS] and [SEP]
    modules.json              whether embeddings are normalised
    1_Pooling/config.json     mean or largest over tokens, or the first token
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

_GELUS = dict.fromkeys(("gelu", "gelu_python"), "gelu")
_GELUS |= dict.fromkeys(("gelu_new", "gelu_pytorch_tanh", "gelu_fast"), "gelu_tanh")
_MODULES = ("Transformer", "Pooling", "Normalize")
_POOLINGS = {"mean": "mean", "cls": "first", "max": "max"}
_OLD_POOLINGS = {f"pooling_mode_{name}_token{'' if name == 'cls' else 's'}": name for name in _POOLINGS}
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
        pooling: ``mean`` or ``max`` over a text's tokens, or ``first`` token.
        normalised: Whether embeddings have length one.
        max_tokens: Longest text it reads, special tokens included.
        activation: ``gelu``, the exact one, or ``gelu_tanh``, its approximation.
    """

    name: str
    digest: str
    backbone: keras.Model
    tokenizer: Tokenizer
    pooling: str
    normalised: bool
    max_tokens: int
    activation: str = "gelu"

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
        if self.pooling == "max":
            return np.asarray(np.where(kept > 0, states, -np.inf).max(axis=1))
        return np.asarray((states * kept).sum(axis=1) / kept.sum(axis=1))


def load_teacher(path: str | Path) -> Teacher:
    """Load a teacher from a local directory.

    Raises:
        TrainingError: A file is missing, or the architecture is not one that can be read.
    """
    path = Path(path)
    config = _settings(path, "config.json")
    _check_architecture(path, config)
    modules = [str(module.get("type", "")) for module in _settings(path, "modules.json", optional=True) or []]
    _check_modules(path, modules)
    reads = _settings(path, "sentence_bert_config.json", optional=True) or {}
    return Teacher(
        name=path.absolute().name,
        backbone=_backbone(path, config),
        digest=hashlib.sha256((path / _WEIGHTS).read_bytes()).hexdigest(),
        tokenizer=_tokenizer(path),
        pooling=_pooling(path),
        normalised=any(module.endswith("Normalize") for module in modules),
        max_tokens=int(reads.get("max_seq_length") or config["max_position_embeddings"]),
        activation=_activation(path, config),
    )


def _check_architecture(path: Path, config: dict[str, Any]) -> None:
    """Refuse what keras-hub's BERT would load and get wrong without a word."""
    expected = {"model_type": "bert", "position_embedding_type": "absolute", "layer_norm_eps": 1e-12}
    expected |= {"pad_token_id": 0, "is_decoder": False}
    for key, value in expected.items():
        if config.get(key, value) != value or (key == "model_type" and key not in config):
            raise TrainingError(
                f"expected a BERT-family teacher at {path} ({key} {value!r}); its config.json says "
                f"{config.get(key)!r}. Choose a teacher such as all-MiniLM-L6-v2"
            )


def _activation(path: Path, config: dict[str, Any]) -> str:
    named = config.get("hidden_act", "gelu")
    if named not in _GELUS:
        raise TrainingError(
            f"expected a teacher at {path} with one of the activations {', '.join(_GELUS)}; its config.json says "
            f"{named!r}"
        )
    return _GELUS[named]


def _check_modules(path: Path, modules: Sequence[str]) -> None:
    """Refuse a model that does more to its states than pool and normalise them, or prepends a prompt to every text."""
    for module in modules:
        if not module.endswith(_MODULES):
            raise TrainingError(
                f"expected a teacher at {path} that only pools and normalises ({', '.join(_MODULES)}); its "
                f"modules.json names {module!r}"
            )
    facts = _settings(path, "config_sentence_transformers.json", optional=True) or {}
    if facts.get("default_prompt_name"):
        raise TrainingError(
            f"expected a teacher at {path} that takes texts as they are; it prepends the prompt "
            f"{facts['default_prompt_name']!r} to each"
        )
    reads = _settings(path, "sentence_bert_config.json", optional=True) or {}
    if reads.get("do_lower_case"):
        raise TrainingError(
            f"expected a teacher at {path} whose tokenizer.json says whether case counts; its "
            "sentence_bert_config.json has do_lower_case beside it"
        )


def _pooling(path: Path) -> str:
    """Return how the model pools, as ``Teacher.pooling`` names it; newer files name it, older ones have a flag each."""
    settings = _settings(path, "1_Pooling/config.json", optional=True) or {}
    flags = [name for name, value in settings.items() if name.startswith("pooling_mode_") and value]
    named = settings.get("pooling_mode", [_OLD_POOLINGS.get(flag, flag) for flag in flags] or "mean")
    names = [named] if isinstance(named, str) else list(named)
    if len(names) != 1 or names[0] not in _POOLINGS:
        raise TrainingError(
            f"expected a teacher at {path} with one pooling of {', '.join(_POOLINGS)}; its 1_Pooling/config.json has "
            f"{', '.join(map(str, names))}"
        )
    return _POOLINGS[names[0]]


def _backbone(path: Path, config: dict[str, Any]) -> keras.Model:
    if not (path / _WEIGHTS).is_file():
        raise TrainingError(f"expected a teacher with a {_WEIGHTS} at {path}; there is none")
    try:
        # A relative path such as bert_base_en may also be the name of a model that keras-hub would download.
        backbone = keras_hub.models.BertBackbone.from_preset(str(path.absolute()))
    except Exception as error:  # keras-hub raises many kinds
        raise TrainingError(f"the teacher at {path} cannot be loaded: {error}") from error
    if _activation(path, config) == "gelu":
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
