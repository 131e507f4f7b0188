"""The weights of transformers of BERT's kind, whatever their family calls them.

bert, electra         learned positions, and a vector per segment, of which sentence encoders use the first
distilbert            the same without segments
roberta, camembert, xlm-roberta   positions begin after the number of the padding token
mpnet                 the same, and a bias per distance of two tokens added to the attention scores
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from docsim.errors import TrainingError
from docsim.training.imports.model_directory import WEIGHTS_FILE, Json, ModelDirectory
from docsim.training.imports.tensors import Tensors
from docsim.training.towers.bert import Block, Floats, Transformer

__all__ = ["FAMILIES", "SHIFTED", "read_transformer"]

_ACTIVATIONS = dict.fromkeys(("gelu", "gelu_python"), "gelu") | {"relu": "relu"}
_ACTIVATIONS |= dict.fromkeys(("gelu_new", "gelu_pytorch_tanh", "gelu_fast"), "gelu_tanh")


@dataclass(frozen=True, slots=True)
class _Names:
    """What a family calls its settings in ``config.json`` and its tensors in ``model.safetensors``."""

    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    activation: str = "hidden_act"
    block: str = "encoder.layer"
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    output: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    widen: str = "intermediate.dense"
    narrow: str = "output.dense"
    feed_norm: str = "output.LayerNorm"


_BERT = _Names()
_DISTILBERT = _Names(
    layers="n_layers",
    heads="n_heads",
    activation="activation",
    block="transformer.layer",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    output="attention.out_lin",
    attention_norm="sa_layer_norm",
    widen="ffn.lin1",
    narrow="ffn.lin2",
    feed_norm="output_layer_norm",
)
_MPNET = _Names(
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    output="attention.attn.o",
    attention_norm="attention.LayerNorm",
)

FAMILIES: Mapping[str, _Names] = {
    "bert": _BERT,
    "distilbert": _DISTILBERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "mpnet": _MPNET,
    "electra": _BERT,
}
"""Model types that can be imported with their weights."""

SHIFTED = ("roberta", "xlm-roberta", "camembert", "mpnet")
"""Families whose positions begin after the number of the padding token."""

_BUCKETS = "encoder.relative_attention_bias.weight"
_SEGMENTS = "embeddings.token_type_embeddings.weight"
_EXPECTED = {"position_embedding_type": "absolute", "is_decoder": False}


def read_transformer(model: ModelDirectory) -> Transformer:
    """Return a model's weights.

    Raises:
        TrainingError: It is of another family, computes something that docsim's transformer does not, or lacks a
            tensor.
    """
    config = model.config()
    family = _family(model, config)
    names = FAMILIES[family]
    layers, heads = (_positive(model, config, key) for key in (names.layers, names.heads))
    with Tensors(model.core / WEIGHTS_FILE) as tensors:
        words = tensors.get("embeddings.word_embeddings.weight", (None, None))
        width = words.shape[1]
        if width % heads:
            raise TrainingError(f"expected heads that divide the width {width} in {model.path}; got {heads}")
        return Transformer(
            words=words,
            positions=_positions(model, config, tensors, width, shifted=family in SHIFTED),
            first_norm=tensors.norm("embeddings.LayerNorm", width),
            blocks=tuple(_block(tensors, names, f"{names.block}.{number}", width) for number in range(layers)),
            heads=heads,
            activation=_activation(model, config.get(names.activation, "gelu")),
            epsilon=_epsilon(model, config.get("layer_norm_eps", 1e-12)),
            distances=tensors.get(_BUCKETS, (None, heads)) if family == "mpnet" else None,
        )


def _family(model: ModelDirectory, config: Json) -> str:
    """Return a model's family; refuse settings with which docsim's transformer would compute something else."""
    family = config.get("model_type")
    if family not in list(FAMILIES):
        raise TrainingError(
            f"expected a model of one of the families {', '.join(FAMILIES)} at {model.path}; its config.json has "
            f"{family!r}. A model with an ONNX export of its own can be of any family"
        )
    for key, value in _EXPECTED.items():
        if config.get(key, value) != value:
            raise TrainingError(
                f"expected a model at {model.path} with {key} {value!r}; its config.json has {config[key]!r}"
            )
    if family == "electra" and config.get("embedding_size") != config.get("hidden_size"):
        raise TrainingError(
            f"expected an electra model at {model.path} whose embedding_size is its hidden_size; got "
            f"{config.get('embedding_size')!r} and {config.get('hidden_size')!r}"
        )
    return str(family)


def _activation(model: ModelDirectory, named: object) -> str:
    if named not in list(_ACTIVATIONS):
        raise TrainingError(
            f"expected a model at {model.path} with one of the activations {', '.join(_ACTIVATIONS)}; its config.json "
            f"has {named!r}"
        )
    return _ACTIVATIONS[str(named)]


def _epsilon(model: ModelDirectory, given: object) -> float:
    if not isinstance(given, int | float) or not 0 <= given < 1:
        raise TrainingError(f"expected a layer_norm_eps from 0 to 1 in the config.json at {model.core}; got {given!r}")
    return float(given)


def _positive(model: ModelDirectory, config: Json, key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or value < 1:
        raise TrainingError(f"expected {key} of at least 1 in the config.json at {model.core}; got {value!r}")
    return value


def _positions(model: ModelDirectory, config: Json, tensors: Tensors, width: int, *, shifted: bool) -> Floats:
    """Return the position table, with the vector of the first segment added, to which all tokens belong."""
    table = tensors.get("embeddings.position_embeddings.weight", (None, width))
    if shifted:
        padding = config.get("pad_token_id", 1)
        if not isinstance(padding, int) or not 0 <= padding < len(table) - 1:
            raise TrainingError(
                f"expected a pad_token_id from 0 to {len(table) - 2} in the config.json at {model.core}; "
                f"got {padding!r}"
            )
        table = table[padding + 1 :]
    if _SEGMENTS in tensors:
        table = table + tensors.get(_SEGMENTS, (None, width))[0]
    return table


def _block(tensors: Tensors, names: _Names, at: str, width: int) -> Block:
    square = (width, width)
    widen = tensors.linear(f"{at}.{names.widen}", (width, None))
    return Block(
        query=tensors.linear(f"{at}.{names.query}", square),
        key=tensors.linear(f"{at}.{names.key}", square),
        value=tensors.linear(f"{at}.{names.value}", square),
        output=tensors.linear(f"{at}.{names.output}", square),
        attention_norm=tensors.norm(f"{at}.{names.attention_norm}", width),
        widen=widen,
        narrow=tensors.linear(f"{at}.{names.narrow}", (len(widen[1]), width)),
        feed_norm=tensors.norm(f"{at}.{names.feed_norm}", width),
    )
