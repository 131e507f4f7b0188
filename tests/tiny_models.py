"""Tiny real models of several families with random weights, in the layout of sentence-transformers, and what they
compute, in NumPy, by the published formulas and the checkpoints' names."""

from __future__ import annotations

import base64
import math
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tiny_bert import State, teacher_tokenizer, write_json
from tiny_encoder import WORDS, tiny_tokenizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WIDTH, HEADS, INNER, LAYERS, POSITIONS, READ = 16, 2, 32, 2, 24, 12
FULLWIDTH_A = "\uff21"

_OLD = {  # query, key, value, output, norm after attention, feed-forward in, out, norm after it
    "bert": (
        "encoder.layer",
        *("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
        *("attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"),
    ),
    "distilbert": (
        "transformer.layer",
        *("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"),
        *("sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"),
    ),
    "mpnet": (
        "encoder.layer",
        *("attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o"),
        *("attention.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"),
    ),
}
NAMES: Mapping[str, tuple[str, ...]] = _OLD | dict.fromkeys(
    ("roberta", "xlm-roberta", "camembert", "electra"), _OLD["bert"]
)


@dataclass(frozen=True)
class Family:
    """A family: how it tokenizes, which positions it skips, what it adds to variances."""

    name: str
    skipped: int
    epsilon: float
    segments: int
    prefix: str = ""


FAMILIES = [
    Family("bert", 0, 1e-12, 2, prefix="bert."),
    Family("electra", 0, 1e-12, 2),
    Family("distilbert", 0, 1e-12, 0),
    Family("roberta", 2, 1e-5, 1),
    Family("xlm-roberta", 2, 1e-5, 1, prefix="roberta."),
    Family("camembert", 2, 1e-5, 1),
    Family("mpnet", 2, 1e-5, 0),
]


def byte_pairs() -> Tokenizer:
    """A byte-level BPE tokenizer with RoBERTa's special tokens: <s> has id 0, <pad> id 1."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("\u0120", "t"), ("h", "e"), ("\u0120t", "he"), ("s", "o"), ("u", "p"), ("so", "up")]
    entries = ["<s>", "<pad>", "</s>", "<unk>", *alphabet, *(a + b for a, b in merges)]
    tokenizer = Tokenizer(models.BPE({entry: place for place, entry in enumerate(entries)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def pieces() -> Tokenizer:
    """A Unigram tokenizer with XLM-R's special tokens and a precompiled map that turns a full-width A into an A."""
    special = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    letters = [(letter, -6.0) for letter in string.ascii_letters + string.digits + string.punctuation + "\u2581"]
    words = [(f"\u2581{word}", -3.0 - place / 100) for place, word in enumerate(WORDS)]
    tokenizer = Tokenizer(models.Unigram([*special, *letters, *words], unk_id=3))
    tokenizer.normalizer = normalizers.Precompiled(precompiled_map())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([token for token, _ in special])
    ends = [("<s>", 0), ("</s>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return tokenizer


def word_pieces() -> Tokenizer:
    """A WordPiece tokenizer with MPNet's special tokens."""
    inner = tiny_tokenizer()
    entries = ["<s>", "<pad>", "</s>", *(e for e in sorted(inner.get_vocab(), key=inner.get_vocab().__getitem__))]
    tokenizer = Tokenizer(models.WordPiece({entry: place for place, entry in enumerate(entries)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = inner.normalizer, inner.pre_tokenizer
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>"])
    ends = [("<s>", 0), ("</s>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return tokenizer


def precompiled_map(units: Mapping[int, int] = {}, replacements: bytes = b"A\x00") -> bytes:  # read only
    """A map of one character, EF BC A1, in a double array; ``units`` replaces some of its units."""
    trie = [0] * 1280
    trie[0] = 256 << 10
    trie[256 ^ 0xEF] = (495 ^ 512) << 10 | 0xEF
    trie[512 ^ 0xBC] = (700 ^ 768) << 10 | 0xBC
    trie[768 ^ 0xA1] = (929 ^ 1024) << 10 | 1 << 8 | 0xA1
    trie[1024] = 1 << 31
    for place, unit in units.items():
        trie[place] = unit
    body = np.array(trie, dtype="<u4").tobytes()
    return len(body).to_bytes(4, "little") + body + replacements


def encoded_map(content: bytes) -> str:
    return base64.b64encode(content).decode()


TOKENIZERS = {
    **dict.fromkeys(("bert", "distilbert", "electra"), teacher_tokenizer),
    "roberta": byte_pairs,
    **dict.fromkeys(("xlm-roberta", "camembert"), pieces),
    "mpnet": word_pieces,
}


def weights(family: Family, vocabulary: int) -> State:
    random = np.random.default_rng(5)

    def drawn(*shape: int) -> NDArray[np.float32]:
        return random.normal(scale=0.5, size=shape).astype(np.float32)

    table = {"word": vocabulary, "position": POSITIONS + family.skipped, "token_type": family.segments}
    state = {f"embeddings.{part}_embeddings.weight": drawn(rows, WIDTH) for part, rows in table.items() if rows}
    linear: dict[str, tuple[int, int]] = {}
    norms = ["embeddings.LayerNorm"]
    at, query, key, value, output, first, widen, narrow, second = NAMES[family.name]
    for number in range(LAYERS):
        layer = f"{at}.{number}"
        linear |= {f"{layer}.{part}": (WIDTH, WIDTH) for part in (query, key, value, output)}
        linear |= {f"{layer}.{widen}": (INNER, WIDTH), f"{layer}.{narrow}": (WIDTH, INNER)}
        norms += [f"{layer}.{first}", f"{layer}.{second}"]
    for name, shape in linear.items():
        state |= {f"{name}.weight": drawn(*shape), f"{name}.bias": drawn(shape[0])}
    for name in norms:
        state |= {f"{name}.weight": drawn(WIDTH) + 1, f"{name}.bias": drawn(WIDTH)}
    if family.name == "mpnet":
        state["encoder.relative_attention_bias.weight"] = drawn(32, HEADS)
    return state


def write_model(path: Path, family: Family, *, pooling: str = "mean", **settings: Any) -> Path:
    """Write a model of a family to a new directory; ``settings`` go to its ``config.json``."""
    path.mkdir(parents=True)
    tokenizer = TOKENIZERS[family.name]()
    shape = {
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
    }
    if family.name == "distilbert":
        shape = {"dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": INNER}
    if family.name == "electra":
        shape["embedding_size"] = WIDTH
    config = {"model_type": family.name, "pad_token_id": max(0, family.skipped - 1), "layer_norm_eps": family.epsilon}
    write_json(
        path / "config.json", {**shape, **config, "max_position_embeddings": POSITIONS + family.skipped, **settings}
    )
    write_modules(path, {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"})
    write_json(path / "1_Pooling" / "config.json", {"pooling_mode": pooling, "include_prompt": True})
    write_json(path / "tokenizer_config.json", {"model_max_length": READ})
    tokenizer.save(str(path / "tokenizer.json"))
    state = weights(family, tokenizer.get_vocab_size())
    save_file({family.prefix + name: value for name, value in state.items()}, path / "model.safetensors")
    return path


def write_modules(path: Path, kinds: Mapping[str, str]) -> None:
    """Write which modules a model has, by their folders."""
    modules = [{"path": folder, "type": f"sentence_transformers.models.{kind}"} for folder, kind in kinds.items()]
    write_json(path / "modules.json", modules)


def states(path: Path, family: Family, text: str) -> NDArray[np.float32]:
    """Return the state of each token of a text, ``(tokens, width)``."""
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.enable_truncation(READ)
    stored = load_file(path / "model.safetensors")
    plain = {name.removeprefix(family.prefix): value.astype(np.float32) for name, value in stored.items()}
    return _forward(plain, family, tokenizer.encode(text).ids)


def _forward(state: State, family: Family, ids: list[int]) -> NDArray[np.float32]:
    def dense(values: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        return np.asarray(values @ state[f"{name}.weight"].T + state[f"{name}.bias"])

    def normal(values: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        centred = values - values.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + family.epsilon)
        return np.asarray(scaled * state[f"{name}.weight"] + state[f"{name}.bias"])

    places = slice(family.skipped, family.skipped + len(ids))
    found = state["embeddings.word_embeddings.weight"][ids] + state["embeddings.position_embeddings.weight"][places]
    if family.segments:
        found = found + state["embeddings.token_type_embeddings.weight"][0]
    found = normal(found, "embeddings.LayerNorm")
    at, query, key, value, output, first, widen, narrow, second = NAMES[family.name]
    for number in range(LAYERS):
        layer = f"{at}.{number}"
        parts = (
            dense(found, f"{layer}.{part}").reshape(len(ids), HEADS, -1).transpose(1, 0, 2)
            for part in (query, key, value)
        )
        asked, keys, values = parts
        scores = asked @ keys.transpose(0, 2, 1) / math.sqrt(WIDTH // HEADS) + _bias(state, len(ids))
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (shares / shares.sum(-1, keepdims=True) @ values).transpose(1, 0, 2).reshape(len(ids), WIDTH)
        found = normal(found + dense(mixed, f"{layer}.{output}"), f"{layer}.{first}")
        inner = dense(found, f"{layer}.{widen}")
        inner = inner * (1 + np.vectorize(math.erf)(inner / math.sqrt(2))) / 2
        found = normal(found + dense(inner, f"{layer}.{narrow}"), f"{layer}.{second}")
    return found.astype(np.float32)


def _bias(state: State, tokens: int) -> NDArray[np.float32] | float:
    """MPNet's biases by distance (Raffel et al. 2020, section 2.1), ``(heads, tokens, tokens)``."""
    table = state.get("encoder.relative_attention_bias.weight")
    if table is None:
        return 0.0
    rows = [[table[_bucket(to - at)] for to in range(tokens)] for at in range(tokens)]
    return np.array(rows).transpose(2, 0, 1)


def _bucket(distance: int) -> int:
    away = abs(distance)
    far = 8 + int(math.log(max(away, 1) / 8) / math.log(128 / 8) * 8)
    return (16 if distance > 0 else 0) + (away if away < 8 else min(far, 15))
