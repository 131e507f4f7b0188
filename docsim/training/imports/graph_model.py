"""Models that come with their own ONNX export: the graph as it is, between docsim's input and docsim's output.

    ids (texts, tokens) int32, -1 for padding  ->  input_ids, attention_mask, token_type_ids  ->  the model's graph
    ->  pooling, linear layers, unit length  ->  embeddings (texts, dim) float32

The operators that are added exist in every version of ONNX from 11 on, so the graph keeps its own. Padding has an id
that no token has, so that no text can contain it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from tokenizers import Tokenizer

from docsim.encoding import onnx_check
from docsim.encoding.encoder import Encoder, Preprocessing
from docsim.encoding.tower_session import TowerSession
from docsim.errors import EncoderError, TrainingError
from docsim.runtime import load_graph, onnxruntime
from docsim.training.imports.checkpoint import SHIFTED
from docsim.training.imports.dense import DenseLayer, dense_layers
from docsim.training.imports.first_id import lowercased, unknown_id
from docsim.training.imports.model_directory import ModelDirectory
from docsim.training.towers.bert import Floats
from docsim.training.towers.export import INPUT, OUTPUT, canonical
from docsim.training.towers.saving import TOLERANCE, Exported

__all__ = ["FILES", "graph_file", "graph_parts", "reference_check"]

FILES = ("onnx/model.onnx", "model.onnx")
"""Where a model's directory keeps its export; the first that exists is taken."""

PADDING = -1

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_POOLED = "sentence_embedding"
_STATES = ("last_hidden_state", "token_embeddings")
_LEAST_VERSION, _AXES_ARE_INPUT = 11, 18  # of ONNX's operators
_USUAL_TOKENS, _MOST_TOKENS = 512, 32_768
_LARGEST_FILE = 2 << 30  # bytes: a limit of protobuf
_SMALLEST_SQUARE = 1e-30
_TEXTS = (
    "",
    "a",
    "How do I rotate the signing keys of a service?",
    "na\u00efve caf\u00e9 \U0001f600 \u4e2d\u6587 x " * 9,
)


@dataclass(frozen=True, slots=True)
class _Output:
    """The output that is used: ``name``, and whether it has a row for each token."""

    name: str
    by_token: bool


def graph_file(model: ModelDirectory) -> Path | None:
    """Return the ONNX export in a model's directory; None if there is none."""
    return next((model.path / name for name in FILES if (model.path / name).is_file()), None)


def graph_parts(model: ModelDirectory, file: Path) -> Exported:
    """Return an encoder that runs a model's own ONNX export.

    Raises:
        TrainingError: The graph is refused (``docsim.encoding.onnx_check``), or has other inputs or outputs.
    """
    if file.stat().st_size > _LARGEST_FILE:
        raise TrainingError(f"expected an ONNX graph of at most {_LARGEST_FILE >> 30} GB in {file}; it is larger")
    content = file.read_bytes()
    if reason := onnx_check.problem(content):
        raise TrainingError(f"expected an ONNX graph that docsim can run in {file}; it {reason}")
    try:
        graph = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf has errors of its own
        raise TrainingError(f"expected an ONNX graph in {file}; it cannot be read ({error})") from error
    tokenizer = model.tokenizer()
    tokenizer = lowercased(tokenizer) if model.lowers_case() else tokenizer
    _wrapped(graph, file, model)
    made, dim = _finished(graph, file)
    unknown = unknown_id(tokenizer)
    return Exported(
        graph=made,
        tokenizer=tokenizer,
        preprocessing=Preprocessing(PADDING, 0 if unknown is None else unknown, special_tokens=True),
        max_tokens=model.max_tokens(most=_most_tokens(model)),
        dim=dim,
    )


def reference_check(model: ModelDirectory, file: Path, *, tolerance: float = TOLERANCE) -> Callable[[Encoder], None]:
    """Return a check that an encoder gives what the original graph does, pooled and scaled by NumPy.

    Texts are encoded alone and together, so that padding counts, and the longest text that the encoder reads is among
    them.
    """

    def check(encoder: Encoder) -> None:
        tokenizer = Tokenizer.from_str((encoder.path / "tokenizer.json").read_text(encoding="utf-8"))
        tokenizer.enable_truncation(encoder.max_tokens)
        texts = [*_TEXTS, "word " * encoder.max_tokens]
        session = load_graph(file)
        try:
            found = np.concatenate(
                [encoder.encode(texts), *(encoder.encode([text]) for text in texts)]
            )  # it has a limit
            expected = np.stack([_reference(session, tokenizer.encode(text).ids, model) for text in texts])
        except Exception as error:  # ONNX Runtime has no error type of its own
            raise EncoderError(
                f"expected the graph in {file} to read texts of {encoder.max_tokens} tokens; it fails ({error})"
            ) from error
        difference = float(np.abs(np.tile(expected[:, : encoder.dim], (2, 1)) - found).max())
        if encoder.dim == expected.shape[1] and not difference <= tolerance:
            raise EncoderError(
                f"expected the encoder to give what the graph in {file} does; it differs by {difference:.2g}. Nothing "
                "was saved"
            )

    return check


def _most_tokens(model: ModelDirectory) -> int:
    config = model.optional("config.json")
    most = config.get("max_position_embeddings", _USUAL_TOKENS)
    if not isinstance(most, int) or most < 1:
        return _USUAL_TOKENS
    padding = config.get("pad_token_id", 1)
    shifted = config.get("model_type") in SHIFTED and isinstance(padding, int)
    return min(max(1, most - padding - 1) if shifted else most, _MOST_TOKENS)


class _Added:
    """Operators and constants added to a graph."""

    def __init__(self, graph: onnx.GraphProto, version: int) -> None:
        self.graph, self.version, self._count = graph, version, 0
        self.nodes: list[onnx.NodeProto] = []

    def name(self) -> str:
        self._count += 1
        return f"docsim/{self._count}"

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        name = self.name()
        self.graph.initializer.append(numpy_helper.from_array(np.array(values, dtype=dtype), name))
        return name

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or self.name()
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def reshaped(self, values: str, *shape: int) -> str:
        return self.add("Reshape", values, self.constant(shape, np.int64))


def _wrapped(model: onnx.ModelProto, file: Path, directory: ModelDirectory) -> None:
    """Change a graph, in place, so that it maps ids to embeddings."""
    version = max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=0)
    if version < _LEAST_VERSION:
        raise TrainingError(f"expected a graph of ONNX version {_LEAST_VERSION} or later in {file}; it has {version}")
    graph = model.graph
    output = _output(graph, file)
    before = _Added(graph, version)
    present = _inputs(graph, before, file)
    after = _Added(graph, version)
    after._count = before._count
    rows = after.add("Cast", output.name, to=onnx.TensorProto.FLOAT)
    if output.by_token:
        rows = _pooled(after, rows, present, directory.pooling())
    if output.name != _POOLED:
        for layer in dense_layers(directory):
            rows = _mapped(after, rows, layer)
    _scaled(after, rows)
    nodes = [*before.nodes, *graph.node, *after.nodes]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, ["texts", "dim"]))


def _output(graph: onnx.GraphProto, file: Path) -> _Output:
    """Return the output that is the embedding, or that of tokens."""
    ranks = {one.name: len(one.type.tensor_type.shape.dim) for one in graph.output}
    if _POOLED in ranks:
        return _Output(_POOLED, by_token=False)
    by_token = [name for name, rank in ranks.items() if rank == 3]
    for name in (*_STATES, *by_token[:1]):
        if name in ranks:
            return _Output(name, by_token=True)
    pooled = [name for name, rank in ranks.items() if rank == 2]
    if len(pooled) == 1:
        return _Output(pooled[0], by_token=False)
    raise TrainingError(
        f"expected a graph in {file} with an output {_POOLED} or {_STATES[0]}; it has {', '.join(ranks) or 'none'}"
    )


def _inputs(graph: onnx.GraphProto, added: _Added, file: Path) -> str:
    """Replace the graph's inputs by operators on ids; return the name of what tells tokens (1) from padding (0)."""
    constants = {one.name for one in graph.initializer}
    inputs = [one for one in graph.input if one.name not in constants]
    names = {one.name: one.type.tensor_type.elem_type for one in inputs}
    whole = {onnx.TensorProto.INT64, onnx.TensorProto.INT32}
    if _INPUTS[0] not in names or not set(names) <= set(_INPUTS) or not set(names.values()) <= whole:
        raise TrainingError(
            f"expected a graph in {file} with the inputs {', '.join(_INPUTS)}, whole numbers all; it has "
            f"{', '.join(names) or 'none'}"
        )
    zero = added.constant(0, np.int32)
    ids = f"docsim/{INPUT}"
    present = added.add("Not", added.add("Less", ids, zero))
    known = added.add("Where", present, ids, zero)
    sources = {"input_ids": known, "attention_mask": present, "token_type_ids": added.add("Sub", known, known)}
    for name, kind in names.items():
        added.add("Cast", sources[name], output=name, to=kind)
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(ids, onnx.TensorProto.INT32, ["texts", "tokens"]))
    return added.add("Cast", present, to=onnx.TensorProto.FLOAT)


def _pooled(added: _Added, states: str, present: str, pooling: str) -> str:
    """Add the pooling of states ``(texts, tokens, width)`` to rows ``(texts, width)``; ``present`` is 1 for tokens."""
    if pooling == "first":
        return added.add("Gather", states, added.constant(0, np.int64), axis=1)
    column, line = added.reshaped(present, 0, -1, 1), added.reshaped(present, 0, 1, -1)
    if pooling == "max":
        absent = added.add("Mul", added.add("Sub", column, added.constant(1)), added.constant(1e9))
        lowered = added.add("Add", states, absent)
        if added.version >= _AXES_ARE_INPUT:
            return added.add("ReduceMax", lowered, added.constant([1], np.int64), keepdims=0)
        return added.add("ReduceMax", lowered, axes=[1], keepdims=0)
    count = added.reshaped(added.add("MatMul", line, column), 0, 1)  # (texts, 1)
    if pooling == "last":
        places = added.add("CumSum", present, added.constant(1, np.int64))
        at_end = added.add("Cast", added.add("Equal", places, count), to=onnx.TensorProto.FLOAT)
        line = added.reshaped(added.add("Mul", at_end, present), 0, 1, -1)
        return added.reshaped(added.add("MatMul", line, states), 0, -1)
    total = added.reshaped(added.add("MatMul", line, states), 0, -1)
    return added.add("Div", total, count)


def _mapped(added: _Added, rows: str, layer: DenseLayer) -> str:
    kernel, *bias = layer.weights
    rows = added.add("MatMul", rows, added.constant(kernel))
    if bias:
        rows = added.add("Add", rows, added.constant(bias[0]))
    return added.add(layer.operator, rows) if layer.operator else rows


def _scaled(added: _Added, rows: str) -> None:
    """Add the scaling to unit length; its output is the graph's."""
    squares = added.add("MatMul", added.reshaped(rows, 0, 1, -1), added.reshaped(rows, 0, -1, 1))
    squares = added.add("Max", added.reshaped(squares, 0, 1), added.constant(_SMALLEST_SQUARE))
    added.add("Div", rows, added.add("Sqrt", squares), output=OUTPUT)


def _finished(model: onnx.ModelProto, file: Path) -> tuple[bytes, int]:
    """Return the graph's bytes, with the number of components in the shape of its output, and that number."""
    canonical(model)
    try:
        session = TowerSession(model.SerializeToString(), "onnx")
        rows = session.run(np.array([[1, 1], [1, PADDING]], dtype=np.int32))
    except Exception as error:  # ONNX Runtime has no error type of its own
        raise TrainingError(f"expected a graph that ONNX Runtime can run in {file}; it cannot ({error})") from error
    dim = int(rows.shape[-1])
    if rows.shape != (2, dim):
        raise TrainingError(
            f"expected embeddings of shape (texts, dim) from {file}; got {rows.shape[1:]} for each text"
        )
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, ["texts", dim]))
    return bytes(model.SerializeToString(deterministic=True)), dim


def _reference(session: onnxruntime.InferenceSession, ids: Sequence[int], model: ModelDirectory) -> Floats:
    """Return the unit embedding of one text by the original graph."""
    row = np.array([ids], dtype=np.int64)
    given = {"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)}
    kinds = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}
    fed = {one.name: given[one.name].astype(kinds[one.type]) for one in session.get_inputs()}
    outputs = {one.name: value for one, value in zip(session.get_outputs(), session.run(None, fed), strict=True)}
    if _POOLED in outputs:
        return _unit(outputs[_POOLED][0])
    name = next((name for name in _STATES if name in outputs), None)
    found = outputs[name] if name else next((one for one in outputs.values() if one.ndim == 3), None)
    if found is None:
        found = next(one for one in outputs.values() if one.ndim == 2)
    else:
        found = _POOL[model.pooling()](found[0].astype(np.float32))[None]
    embedding = found[0].astype(np.float32)
    for layer in dense_layers(model):
        embedding = layer.applied(embedding)
    return _unit(embedding)


_POOL: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "mean": lambda states: states.mean(axis=0),
    "max": lambda states: states.max(axis=0),
    "first": lambda states: states[0],
    "last": lambda states: states[-1],
}


def _unit(row: NDArray[np.floating[Any]]) -> Floats:
    return np.asarray(row / max(float(np.linalg.norm(row)), 1e-15), dtype=np.float32)
