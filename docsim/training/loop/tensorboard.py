"""TensorBoard logs: loss and probe of a training.

An event file is a TFRecord file of ``Event`` messages, which TensorFlow has; ``tf.summary`` would want TensorBoard
itself to be installed here, not only where the logs are looked at.
"""

from __future__ import annotations

import time
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework.summary_pb2 import Summary
from tensorflow.core.util.event_pb2 import Event

from docsim.training.loop.checkpoint import Point
from docsim.training.loop.trainer import Watch

__all__ = ["logged"]

_VERSION = "brain.Event:2"  # the first message of every event file


def logged(directory: Path) -> Watch:
    """Return a watcher that writes each point's loss and probe to a new event file in ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    writer = tf.io.TFRecordWriter(str(directory / f"events.out.tfevents.{time.time_ns()}.docsim"))
    writer.write(Event(wall_time=time.time(), file_version=_VERSION).SerializeToString())

    def watch(point: Point, most: int) -> None:
        del most
        values = {"loss": point.loss, "probe": point.probe}
        told = [Summary.Value(tag=name, simple_value=value) for name, value in values.items() if value is not None]
        event = Event(wall_time=time.time(), step=point.step, summary=Summary(value=told))
        writer.write(event.SerializeToString())
        writer.flush()

    return watch
