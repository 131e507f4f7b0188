"""Teachers: BERT-family sentence encoders in a local directory in the layout of sentence-transformers.

    config.json               architecture ("model_type": "bert") and activation
    model.safetensors         weights
    tokenizer.json            tokenizer, with [CLS] and [SEP]
    modules.json              whether embeddings are normalised
    1_Pooling/config.json     pooling: mean or maximum over tokens, or the first token
    sentence_bert_config.json number of tokens that the model was trained to read

keras-hub reads the weights; PyTorch is not needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import keras_hub
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from docsim.errors import TrainingError
from docsim.training.data.batches import Floats
from docsim.training.distill.keras_hub_private import use_exact_gelu

__all__ = ["Teacher", "load_teacher"]

_GELUS = dict.fromkeys(("gelu", "gelu_python"), "gelu")
_GELUS |= dict.fromkeys(("gelu_new", "gelu_pytorch_tanh", "gelu_fast"), "gelu_tanh")
_MODULES = ("Transformer", "Pooling", "Normalize")
_POOLINGS = {"mean": "mean", "cls": "first", "max": "max"}
_OLD_POOLINGS = {f"pooling_mode_{name}_token{'' if name == 'cls' else 's'}": name for name in _POOLINGS}
_BATCH_TOKENS = 4096
_WEIGHTS = "model.safetensors"

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Teacher:
    """A sentence encoder to learn from.

    Attributes:
        name: Name of its directory, for display.
        digest: SHA-256 of its weights.
        backbone: Model from token ids, segment ids and mask to token states ``(texts, tokens, width)``.
        tokenizer: Adds special tokens; does not pad or truncate.
        pooling: ``mean`` or ``max`` over a text's tokens, or ``first`` for the first token.
        normalised: Whether embeddings have length one.
        max_tokens: Longest text that it reads, special tokens included.
        activation: ``gelu``, the exact function, or ``gelu_tanh``, its approximation.
    """

    name: str
    digest: str
    backbone: keras.Model
    tokenizer: Tokenizer
    pooling: str
    normalised: bool
    max_tokens: int
    activation: str = "gelu"

    def embed(self, texts: Sequence[str]) -> Floats:
        """Return the teacher's embeddings of ``texts``, truncated to ``max_tokens``, float32 ``(texts, width)``."""
        tokenizer = Tokenizer.from_str(self.tokenizer.to_str())
        tokenizer.enable_truncation(self.max_tokens)
        ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
        embeddings = np.empty((len(ids), self.backbone.hidden_dim), dtype=np.float32)
        while order:
            count = max(1, _BATCH_TOKENS // len(ids[order[0]]))
            rows, order = order[:count], order[count:]
            embeddings[rows] = self._pooled([ids[row] for row in rows])
        if self.normalised:
            embeddings /= np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
        return embeddings

    def states(self, ids: NDArray[np.int32], mask: NDArray[np.int32]) -> Floats:
        """Return the state of each token of one batch.

        Args:
            ids: Token ids, special tokens included, ``(texts, tokens)``; no more tokens than the model has positions.
            mask: 1 for tokens and 0 for padding, of the same shape.

        Returns:
            float32 ``(texts, tokens, width)``.
        """
        inputs = {"token_ids": ids, "segment_ids": np.zeros_like(ids), "padding_mask": mask}
        outputs = self.backbone(inputs, training=False)
        return np.asarray(keras.ops.convert_to_numpy(outputs["sequence_output"]), dtype=np.float32)

    def _pooled(self, ids: Sequence[Sequence[int]]) -> Floats:
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
        TrainingError: A file is missing or unreadable, or the architecture is not supported.
    """
    path = Path(path)
    config = _read_object(path, "config.json")
    _check_architecture(path, config)
    modules = _module_types(path)
    reads = _read_object(path, "sentence_bert_config.json", optional=True)
    _check_modules(path, modules, reads)
    activation = _activation(path, config)
    return Teacher(
        name=path.absolute().name,
        backbone=_backbone(path, exact_gelu=activation == "gelu"),
        digest=hashlib.sha256((path / _WEIGHTS).read_bytes()).hexdigest(),
        tokenizer=_tokenizer(path),
        pooling=_pooling(path),
        normalised=any(module.endswith("Normalize") for module in modules),
        max_tokens=_max_tokens(path, reads.get("max_seq_length") or config.get("max_position_embeddings")),
        activation=activation,
    )


def _check_architecture(path: Path, config: Json) -> None:
    """Refuse models that keras-hub's BERT would load but compute differently, without a warning."""
    expected = {"model_type": "bert", "position_embedding_type": "absolute", "layer_norm_eps": 1e-12}
    expected |= {"pad_token_id": 0, "is_decoder": False}
    for key, value in expected.items():
        if config.get(key, value) != value or (key == "model_type" and key not in config):
            raise TrainingError(
                f"expected a BERT-family teacher at {path}, with {key} {value!r}; its config.json has "
                f"{config.get(key)!r}. Choose a teacher such as all-MiniLM-L6-v2"
            )


def _activation(path: Path, config: Json) -> str:
    named = str(config.get("hidden_act", "gelu"))
    if named not in _GELUS:
        raise TrainingError(
            f"expected a teacher at {path} with one of the activations {', '.join(_GELUS)}; its config.json has "
            f"{named!r}"
        )
    return _GELUS[named]


def _max_tokens(path: Path, given: object) -> int:
    if not isinstance(given, int) or given < 1:
        raise TrainingError(
            f"expected a teacher at {path} whose config.json has max_position_embeddings, at least 1; got {given!r}"
        )
    return given


def _module_types(path: Path) -> list[str]:
    """Return the types of the model's modules, or none if it does not list them."""
    content = _read_json(path, "modules.json", optional=True) or []
    if not isinstance(content, list) or not all(isinstance(module, dict) for module in content):
        raise TrainingError(
            f"expected a list of modules in the modules.json of the teacher at {path}; got another type"
        )
    return [str(module.get("type", "")) for module in content]


def _check_modules(path: Path, modules: Sequence[str], reads: Json) -> None:
    """Refuse a model that does more than pool and normalise its states, or that prepends a prompt to every text."""
    for module in modules:
        if not module.endswith(_MODULES):
            raise TrainingError(
                f"expected a teacher at {path} with only the modules {', '.join(_MODULES)}; its modules.json has "
                f"{module!r}"
            )
    prompt = _read_object(path, "config_sentence_transformers.json", optional=True).get("default_prompt_name")
    if prompt:
        raise TrainingError(f"expected a teacher at {path} without a prompt; it prepends {prompt!r} to every text")
    if reads.get("do_lower_case"):
        raise TrainingError(
            f"expected a teacher at {path} whose tokenizer.json alone decides about case; its "
            "sentence_bert_config.json has do_lower_case, too"
        )


def _pooling(path: Path) -> str:
    """Return the model's pooling by the name that ``Teacher.pooling`` uses; older files have a flag for each kind."""
    settings = _read_object(path, "1_Pooling/config.json", optional=True)
    flags = [name for name, value in settings.items() if name.startswith("pooling_mode_") and value]
    named = settings.get("pooling_mode", [_OLD_POOLINGS.get(flag, flag) for flag in flags] or "mean")
    names = [str(name) for name in named] if isinstance(named, list) else [str(named)]
    if len(names) != 1 or names[0] not in _POOLINGS:
        raise TrainingError(
            f"expected a teacher at {path} with exactly one of the poolings {', '.join(_POOLINGS)}; its "
            f"1_Pooling/config.json has {', '.join(names)}"
        )
    return _POOLINGS[names[0]]


def _backbone(path: Path, *, exact_gelu: bool) -> keras.Model:
    if not (path / _WEIGHTS).is_file():
        raise TrainingError(f"expected a teacher with a {_WEIGHTS} at {path}; there is none")
    try:
        # A relative path such as bert_base_en may also be the name of a model that keras-hub would download.
        backbone = keras_hub.models.BertBackbone.from_preset(str(path.absolute()))
    except Exception as error:  # keras-hub raises many types
        raise TrainingError(f"expected a teacher that keras-hub can load at {path}; it cannot: {error}") from error
    if exact_gelu:
        use_exact_gelu(backbone)
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


def _read_object(path: Path, name: str, *, optional: bool = False) -> Json:
    """Return the JSON object in one of the teacher's files; an empty one if an optional file is missing."""
    content = _read_json(path, name, optional=optional)
    if content is None and optional:
        return {}
    if not isinstance(content, dict):
        raise TrainingError(f"expected a JSON object in the {name} of the teacher at {path}; got another type")
    return content


def _read_json(path: Path, name: str, *, optional: bool = False) -> object:
    file = path / name
    if optional and not file.is_file():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"expected a sentence-transformers directory at {path}; its {name} cannot be read ({error})"
        ) from error
