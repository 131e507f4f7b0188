"""A tiny real BERT with random weights, written in the layout of sentence-transformers, and BERT in NumPy."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tiny_encoder import tiny_tokenizer
from tokenizers import Tokenizer, processors

WIDTH, HEADS, INNER, LAYERS, POSITIONS = 16, 2, 32, 2, 24
State = dict[str, NDArray[np.float32]]


def _normal(values: NDArray[np.float32], gamma: NDArray[np.float32], beta: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = values - values.mean(-1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12) * gamma + beta)


def bert_states(weights: State, ids: list[int]) -> NDArray[np.float32]:
    """BERT in NumPy, as Devlin et al. (2019) and the checkpoint's names define it, with the exact GELU."""

    def dense(values: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        return np.asarray(values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])

    def normal(values: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        return _normal(values, weights[f"{name}.LayerNorm.weight"], weights[f"{name}.LayerNorm.bias"])

    table = {part: weights[f"embeddings.{part}_embeddings.weight"] for part in ("word", "position", "token_type")}
    states = normal(table["word"][ids] + table["position"][: len(ids)] + table["token_type"][0], "embeddings")
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        split = (len(ids), HEADS, WIDTH // HEADS)
        query, key, value = (
            dense(states, f"{layer}.attention.self.{part}").reshape(split).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = np.exp(query @ key.transpose(0, 2, 1) / math.sqrt(WIDTH // HEADS))
        mixed = (scores / scores.sum(-1, keepdims=True) @ value).transpose(1, 0, 2).reshape(len(ids), WIDTH)
        states = normal(states + dense(mixed, f"{layer}.attention.output.dense"), f"{layer}.attention.output")
        inner = dense(states, f"{layer}.intermediate.dense")
        inner = inner * (1 + np.vectorize(math.erf)(inner / math.sqrt(2))) / 2
        states = normal(states + dense(inner, f"{layer}.output.dense"), f"{layer}.output")
    return states


def bert_weights(vocabulary: int) -> State:
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (vocabulary, WIDTH),
        "embeddings.position_embeddings.weight": (POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
    }
    linear = {"pooler.dense": (WIDTH, WIDTH)}
    normals = ["embeddings"]
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        linear |= {f"{layer}.attention.self.{part}": (WIDTH, WIDTH) for part in ("query", "key", "value")}
        linear[f"{layer}.attention.output.dense"] = (WIDTH, WIDTH)
        linear[f"{layer}.intermediate.dense"] = (INNER, WIDTH)
        linear[f"{layer}.output.dense"] = (WIDTH, INNER)
        normals += [f"{layer}.attention.output", f"{layer}.output"]
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in normals:
        shapes |= {f"{name}.LayerNorm.{part}": (WIDTH,) for part in ("weight", "bias")}
    random = np.random.default_rng(7)
    return {name: random.normal(scale=0.5, size=shape).astype(np.float32) for name, shape in shapes.items()}


def teacher_tokenizer() -> Tokenizer:
    tokenizer = tiny_tokenizer("[CLS]", "[SEP]", "[unused0]")
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    marks = [(mark, tokenizer.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    return tokenizer


def write_json(file: Path, content: Any) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def write_teacher(path: Path, **settings: Any) -> Path:
    """Write a BERT of two layers with random weights to a new directory; ``settings`` go to its ``config.json``."""
    path.mkdir()
    tokenizer = teacher_tokenizer()
    write_json(
        path / "config.json",
        {
            "model_type": "bert",
            "vocab_size": tokenizer.get_vocab_size(),
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "hidden_size": WIDTH,
            "intermediate_size": INNER,
            "max_position_embeddings": POSITIONS,
            "hidden_act": "gelu",
            **settings,
        },
    )
    modules = ["Transformer", "Pooling", "Normalize"]
    write_json(path / "modules.json", [{"type": f"sentence_transformers.models.{name}"} for name in modules])
    write_json(path / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True})
    write_json(path / "sentence_bert_config.json", {"max_seq_length": 12})
    tokenizer.save(str(path / "tokenizer.json"))
    save_file(bert_weights(tokenizer.get_vocab_size()), path / "model.safetensors")
    return path
