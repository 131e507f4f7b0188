"""ONNX Runtime with its telemetry turned off: the only module that imports it.

The builds on PyPI look up a Microsoft host, send events to it and write a device id under the home folder, unless
``ORT_DISABLE_TELEMETRY`` is set before the library is loaded. So all of docsim imports ONNX Runtime from here. Modules
that import another library which loads it call ``offline.before_onnxruntime`` first.
"""

from __future__ import annotations

from typing import Any

from docsim import offline

offline.before_onnxruntime()

import onnxruntime  # noqa: E402

onnxruntime.disable_telemetry_events()  # in case the program loaded it before docsim set the variable

__all__ = ["onnxruntime", "quantization"]


def quantization() -> Any:
    """Return ``onnxruntime.quantization``, which also imports onnx."""
    import onnxruntime.quantization as module

    return module
