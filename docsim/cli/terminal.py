"""The terminal: keeps off it what libraries written in C print."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

__all__ = ["load_training", "without_native_noise"]


@contextmanager
def without_native_noise() -> Iterator[None]:
    """Hide what TensorFlow's C++ code prints to standard error while it loads. Errors are still raised."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


def load_training() -> None:
    """Import what training needs, which takes seconds, without the noise."""
    with without_native_noise():
        import_module("docsim.training.loop.preparation")
