"""TensorBoard logs of a training's loss and probe.

An event file is a TFRecord file of ``Event`` messages, and TensorFlow can write those. ``tf.summary`` would need
TensorBoard to be installed where the model is trained, not only where the logs are viewed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from docsim.training.loop.checkpoint import ProgressPoint

__all__ = ["tensorboard_callback"]

_VERSION = "brain.Event:2"  # the first message of every event file


def tensorboard_callback(directory: Path) -> Callable[[ProgressPoint], None]:
    """Return a callback that writes loss and probe to a new event file in ``directory`` after every measurement."""
    directory.mkdir(parents=True, exist_ok=True)
    writer = tf.io.TFRecordWriter(str(directory / f"events.out.tfevents.{time.time_ns()}.docsim"))
    event, summary = tf.compat.v1.Event, tf.compat.v1.Summary
    writer.write(event(wall_time=time.time(), file_version=_VERSION).SerializeToString())

    def write(point: ProgressPoint) -> None:
        named = {"loss": point.loss, "probe": point.probe}
        values = [summary.Value(tag=name, simple_value=value) for name, value in named.items() if value is not None]
        written = event(wall_time=time.time(), step=point.step, summary=summary(value=values))
        writer.write(written.SerializeToString())
        writer.flush()

    return write
