"""Training: towers in Keras, teachers, and how both become an encoder. The only package that imports Keras."""

import sqlite3  # noqa: F401  # before TensorFlow, whose own SQLite lacks FTS5 and would take the system's place

from docsim import offline

offline.before_onnxruntime()  # tf2onnx may import it
offline.before_keras()
offline.before_matplotlib()  # Keras imports it
