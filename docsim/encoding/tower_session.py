"""The session of ONNX Runtime that runs an encoder's tower, with limits of memory and time.

The tower of a stranger may ask for any amount of memory, and a loop of a few operators may never end.
"""

from __future__ import annotations

import threading
import time

import numpy as np
from numpy.typing import NDArray

from docsim import threads
from docsim.encoding import onnx_check
from docsim.errors import EncoderError
from docsim.runtime import load_graph, onnxruntime

__all__ = ["LONGEST", "TowerSession"]

LONGEST = 300.0
"""Seconds that encoding one batch may take."""

_LOOK = 2.0  # seconds between two looks at what runs


class _Clock:
    """Ends what takes too long, in one thread for all sessions, which starts with the first batch."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[float, onnxruntime.RunOptions]] = {}
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self) -> onnxruntime.RunOptions:
        """Return the options of a run that begins now."""
        options = onnxruntime.RunOptions()
        self._running[id(options)] = time.monotonic(), options
        if self._thread is None or not self._thread.is_alive():  # it does not outlive a fork
            with self._starting:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threads.start(self._look, name="docsim-clock")
        return options

    def end(self, options: onnxruntime.RunOptions) -> None:
        """Forget a run."""
        del self._running[id(options)]

    def _look(self) -> None:
        while True:
            time.sleep(_LOOK)
            now = time.monotonic()
            for began, options in list(self._running.values()):
                if now - began > LONGEST:
                    options.terminate = True


_clock = _Clock()


class TowerSession:
    """A tower that is loaded. Each call uses one thread; several calls may run at a time.

    Attributes:
        components: How many numbers an embedding has; another kind of value where the graph leaves it open.
    """

    def __init__(self, onnx: bytes, kind: str) -> None:
        """Load a tower.

        Args:
            onnx: The graph.
            kind: The kind of tower, as in the manifest.

        Raises:
            EncoderError: The graph is one that docsim refuses to run.
        """
        if reason := onnx_check.problem(onnx, loops=kind == "lstm"):
            raise EncoderError(f"its tower.onnx {reason}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4  # errors are raised
        options.enable_mem_pattern = False  # it plans memory for one shape, but batches differ in shape
        if kind == "average":  # it has nothing to fuse, and searching takes 15 ms
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        self._session = load_graph(onnx, options)
        self._session._model_bytes = None  # a private copy, for when another provider fails; as large as the model
        self._input = self._session.get_inputs()[0].name
        self.components = self._session.get_outputs()[0].shape[-1]

    def run(self, batch: NDArray[np.int32]) -> NDArray[np.float32]:
        """Encode a batch of token ids, ``int32 (n, tokens)``: float32 ``(n, components)``.

        Raises:
            TimeoutError: It takes too long.
            Exception: Of ONNX Runtime's own kinds.
        """
        options = _clock.begin()
        try:
            rows: NDArray[np.float32] = self._session.run(None, {self._input: batch}, options)[0]
        except Exception as error:
            if options.terminate:
                raise TimeoutError(f"it takes more than {LONGEST:g} seconds") from error
            raise
        finally:
            _clock.end(options)
        return rows
