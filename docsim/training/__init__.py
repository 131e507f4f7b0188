"""Training of encoders. The only package that imports Keras and TensorFlow.

    towers        models, ONNX export, saving and loading
    data          what is trained on: documents, examples, pairs, batches
    loop          the training itself, from configuration to saved encoder
    imports       models of others as encoders
    distill       encoders from larger models
    sweep         hyper-parameter search
    wordvectors   encoders from published word vectors

Each of the first three imports only those above it. ``imports`` uses ``towers``. The last three use all of them and are
independent of each other.
"""

import sqlite3  # noqa: F401  # before TensorFlow, whose own SQLite lacks FTS5 and would otherwise be used instead

from docsim import extras, offline

offline.before_onnxruntime()  # tf2onnx may import it
offline.before_keras()
offline.before_matplotlib()  # Keras imports it

extras.require("train", "training")
