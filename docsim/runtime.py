"""ONNX Runtime with its telemetry turned off: the only module that imports it.

The builds on PyPI look up a Microsoft host, send events to it and write a device id under the home folder, unless
``ORT_DISABLE_TELEMETRY`` is set before the library is loaded. So all of docsim imports ONNX Runtime from here. Modules
that import another library which loads it call ``offline.before_onnxruntime`` first.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Any

from docsim import offline

offline.before_onnxruntime()

import onnxruntime  # noqa: E402

onnxruntime.disable_telemetry_events()  # in case the program loaded it before docsim set the variable

__all__ = ["load_graph", "memory_limit", "onnxruntime", "quantization"]

_LEAST = 1 << 30
_registering = threading.Lock()
_registered: list[int] = []


def load_graph(model: bytes | Path, options: onnxruntime.SessionOptions | None = None) -> onnxruntime.InferenceSession:
    """Load a graph, which may come from a stranger: with a limit of memory, and without computing.

    A graph of a few bytes can ask for any amount of memory; a session that reaches the limit raises an error. ONNX
    Runtime would also compute whatever follows from constants alone as it loads a graph, and cannot be told to stop; it
    still converts constants to other types, which the file's size bounds.

    Args:
        model: The graph, or the file that it is in.
        options: What else to set; they are changed.
    """
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model),
        _bounded(options or onnxruntime.SessionOptions()),
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["ConstantFolding"],
    )


def _bounded(options: onnxruntime.SessionOptions) -> onnxruntime.SessionOptions:
    """Make a session take its memory from where all sessions of this process do, which has a limit."""
    with _registering:
        if not _registered:
            limit = memory_limit()
            kind, use = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, onnxruntime.OrtMemType.DEFAULT
            with contextlib.suppress(Exception):  # the program that uses docsim has set its own
                onnxruntime.create_and_register_allocator(
                    onnxruntime.OrtMemoryInfo("Cpu", kind, 0, use), onnxruntime.OrtArenaCfg({"max_mem": limit})
                )
            _registered.append(limit)
    options.add_session_config_entry("session.use_env_allocators", "1")
    return options


def memory_limit() -> int:
    """Return how many bytes all sessions together may take: half of the machine's memory, and at least 1 GB."""
    try:
        return max(_LEAST, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    except (AttributeError, ValueError, OSError):  # Windows
        return 8 * _LEAST


def quantization() -> Any:
    """Return ``onnxruntime.quantization``, which also imports onnx."""
    import onnxruntime.quantization as module

    return module
