"""Cores: how many of the processor's cores a thread may use, for libraries that have threads of their own.

A thread that works beside others for one call has one core to itself. Every other thread may use all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

__all__ = ["available", "undivided", "use_one"]

_local = threading.local()
_lock = threading.Lock()
_blocks: list[list[int]] = []  # of ``undivided`` that run: the threads that each library had before the first of them


def available() -> int:
    """Return how many cores this thread may use, at least 1."""
    return 1 if getattr(_local, "uses_one", False) else _all()


@cache
def _all() -> int:
    return os.cpu_count() or 1  # asks the system, which takes as long as scoring some documents


def use_one() -> None:
    """Leave all other cores to other threads from now on."""
    _local.uses_one = True


@contextmanager
def undivided() -> Iterator[None]:
    """Have NumPy multiply matrices in the thread that asks, for the length of the block; those of threads may overlap.

    A question multiplies small matrices, which takes a tenth of a millisecond. Shared among threads, it takes as long
    on an idle machine and forty times as long on a busy one, because the threads wait for each other without sleeping.
    """
    with _lock:
        _blocks.append(_blocks[-1] if _blocks else [one.num_threads for one in _algebra()])
        if len(_blocks) == 1:
            _set([1] * len(_blocks[0]))
    try:
        yield
    finally:
        with _lock:
            before = _blocks.pop()
            if not _blocks:
                _set(before)


def _set(threads: list[int]) -> None:
    for one, count in zip(_algebra(), threads, strict=True):
        if hasattr(one, "clear_controlling_thread"):  # else only the thread that came first could change it
            one.clear_controlling_thread(force=True)
        one.set_num_threads(count)


@cache
def _algebra() -> list[Any]:
    """Return what controls the libraries of linear algebra whose threads all of the process shares."""
    import numpy  # noqa: F401 - what is not loaded yet is not found
    from threadpoolctl import ThreadpoolController

    held = [one for one in ThreadpoolController().lib_controllers if one.user_api == "blas"]
    return [one for one in held if getattr(one, "threading_layer", "") != "openmp"]  # which each thread has of its own
