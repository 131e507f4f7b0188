"""TensorBoard logs: loss and probe of a training, one event file."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from docsim.training.checkpoint import Point
from docsim.training.trainer import Watch

__all__ = ["logged"]


def logged(directory: Path) -> Watch:
    """Return a watcher that writes each point's loss and probe to an event file in ``directory``."""
    writer = tf.summary.create_file_writer(str(directory))

    def watch(point: Point, most: int) -> None:
        del most
        with writer.as_default(step=point.step):
            if point.loss is not None:
                tf.summary.scalar("loss", point.loss)
            tf.summary.scalar("probe", point.probe)
        writer.flush()

    return watch
