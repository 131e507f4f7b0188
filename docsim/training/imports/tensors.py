"""Tensors of a ``model.safetensors``, the one format of weights that docsim reads: it holds numbers and no code."""

from __future__ import annotations

import math
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from docsim.errors import TrainingError
from docsim.training.towers.bert import Floats, Linear

__all__ = ["MOST_NUMBERS", "Tensors", "check_size"]

MOST_NUMBERS = 500_000_000
"""How many weights a model may have: they fit into an ONNX file, which has at most 2 GB: a limit of protobuf."""

_Shape = tuple[int | None, ...]

# What stands before the names of tensors when a model was saved as a part of a larger one.
_PREFIXES = ("bert.", "distilbert.", "roberta.", "mpnet.", "electra.", "0.auto_model.", "model.")


class Tensors:
    """The tensors of a ``.safetensors`` file, read one by one as float32. A context manager."""

    def __init__(self, file: Path) -> None:
        """Open a file.

        Raises:
            TrainingError: There is no such file, or it is damaged.
        """
        self._file = file
        if not file.is_file():
            raise TrainingError(f"expected a model with a {file.name} at {file.parent}; there is none")
        try:
            opened: Any = safe_open(str(file), framework="numpy")  # without type hints
            self._open = opened
            self._names = {_plain(name): name for name in opened.keys()}  # noqa: SIM118  # no mapping
        except (SafetensorError, OSError, ValueError) as error:
            raise TrainingError(f"expected weights that can be read in {file}; they are damaged ({error})") from error

    def __enter__(self) -> Tensors:
        self._open.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.__exit__(kind, error, at)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def get(self, name: str, shape: _Shape | None = None) -> Floats:
        """Return a tensor as float32.

        Args:
            name: Its name, without the name of the model that may stand before it in the file.
            shape: The shape that it must have; None for an axis of any length.

        Raises:
            TrainingError: It is missing, of another shape or type, or not finite.
        """
        if name not in self._names:
            raise TrainingError(f"expected a tensor {name} in {self._file}; there is none")
        check_size(f"the tensor {name} of {self._file}", *self._open.get_slice(self._names[name]).get_shape())
        try:
            found = np.asarray(self._open.get_tensor(self._names[name]))
        except (SafetensorError, TypeError, ValueError) as error:  # bfloat16 is unknown to NumPy
            raise TrainingError(
                f"expected the tensor {name} in {self._file} in float32 or float16; it cannot be read ({error})"
            ) from error
        if found.dtype.kind not in "fi" or (shape is not None and not _fits(found.shape, shape)):
            raise TrainingError(
                f"expected a tensor {name} of shape {_told(shape)} in {self._file}; it has "
                f"{_told(found.shape)} and type {found.dtype}"
            )
        rows = found.astype(np.float32)
        if not np.isfinite(rows).all():
            raise TrainingError(f"expected finite numbers in the tensor {name} of {self._file}; it has others")
        return rows

    def linear(self, name: str, shape: tuple[int | None, int | None]) -> Linear:
        """Return the kernel and bias of a linear layer; ``shape`` is (width in, width out)."""
        kernel = self.get(f"{name}.weight", shape[::-1])
        return [np.ascontiguousarray(kernel.T), self.get(f"{name}.bias", kernel.shape[:1])]

    def norm(self, name: str, width: int) -> Linear:
        """Return gamma and beta of a layer normalisation; old checkpoints have these names."""
        old = f"{name}.gamma" in self
        gamma, beta = ("gamma", "beta") if old else ("weight", "bias")
        return [self.get(f"{name}.{gamma}", (width,)), self.get(f"{name}.{beta}", (width,))]


def check_size(what: str, *shape: int) -> None:
    """Raise unless there are from 1 to as many numbers as fit into an ONNX file, the largest that protobuf allows.

    Raises:
        TrainingError: There are none, or too many.
    """
    if not 1 <= math.prod(shape) <= MOST_NUMBERS:
        raise TrainingError(
            f"expected from 1 to {MOST_NUMBERS // 1_000_000} million numbers in {what}; it has the shape {_told(shape)}"
        )


def _plain(name: str) -> str:
    """Return a tensor's name without that of the model that it is a part of."""
    return next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)


def _fits(shape: tuple[int, ...], wanted: _Shape) -> bool:
    return len(shape) == len(wanted) and all(w is None or s == w for s, w in zip(shape, wanted, strict=True))


def _told(shape: _Shape | None) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape or ()) + ")"
