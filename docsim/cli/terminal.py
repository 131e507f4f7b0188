"""What commands do to the terminal: keep native noise off it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

__all__ = ["load_training", "without_native_noise"]


@contextmanager
def without_native_noise() -> Iterator[None]:
    """Keep what TensorFlow's C++ writes to standard error while it loads from the user; errors are raised anyway."""
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
