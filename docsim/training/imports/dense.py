"""Linear layers that a model applies to its pooled states (the module ``Dense`` of sentence-transformers)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from docsim.errors import TrainingError
from docsim.training.imports.model_directory import WEIGHTS_FILE, Json, ModelDirectory
from docsim.training.imports.tensors import Tensors
from docsim.training.towers.bert import Floats, Linear

__all__ = ["DenseLayer", "dense_layers"]

_ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "Identity": lambda rows: rows,
    "Tanh": np.tanh,
    "ReLU": lambda rows: np.maximum(rows, 0),
    "Sigmoid": lambda rows: np.asarray(1 / (1 + np.exp(-rows))),
}
_OPERATORS = {"Identity": "", "Tanh": "Tanh", "ReLU": "Relu", "Sigmoid": "Sigmoid"}


@dataclass(frozen=True, slots=True)
class DenseLayer:
    """A linear layer and its activation.

    Attributes:
        weights: Kernel ``(width in, width out)``, and perhaps bias ``(width out,)``.
        activation: Name of the function's class in PyTorch, such as ``Tanh``.
    """

    weights: Linear
    activation: str

    @property
    def operator(self) -> str:
        """The activation's name in ONNX, and in lower case in Keras; empty for none."""
        return _OPERATORS[self.activation]

    def applied(self, rows: Floats) -> Floats:
        """Return what the layer makes of rows ``(any, width in)``."""
        kernel, *bias = self.weights
        return np.asarray(_ACTIVATIONS[self.activation](rows @ kernel + (bias[0] if bias else 0)), dtype=np.float32)


def dense_layers(model: ModelDirectory) -> list[DenseLayer]:
    """Return the linear layers of a model, in order.

    Raises:
        TrainingError: A file is missing or damaged, or an activation is unknown.
    """
    return [_dense(module.path, model.optional("config.json", module=module)) for module in model.of_kind("Dense")]


def _dense(path: Path, settings: Json) -> DenseLayer:
    named = str(settings.get("activation_function", "Tanh")).rpartition(".")[2]
    if named not in _ACTIVATIONS:
        raise TrainingError(
            f"expected a linear layer in {path} with one of the activations {', '.join(_ACTIVATIONS)}; got {named!r}"
        )
    with Tensors(path / WEIGHTS_FILE) as tensors:
        kernel = np.ascontiguousarray(tensors.get("linear.weight", (None, None)).T)
        bias = [tensors.get("linear.bias", kernel.shape[1:])] if settings.get("bias", True) else []
    return DenseLayer([kernel, *bias], named)
