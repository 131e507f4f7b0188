"""Cores: how many of the processor's cores a thread may use, for libraries that have threads of their own.

A thread that works beside others for one call has one core to itself. Every other thread may use all.
"""

from __future__ import annotations

import os
import threading
from functools import cache

__all__ = ["available", "use_one"]

_local = threading.local()


def available() -> int:
    """Return how many cores this thread may use, at least 1."""
    return 1 if getattr(_local, "uses_one", False) else _all()


@cache
def _all() -> int:
    return os.cpu_count() or 1  # asks the system, which takes as long as scoring some documents


def use_one() -> None:
    """Leave all other cores to other threads from now on."""
    _local.uses_one = True
