"""An encoder that reads words in their context, made of two layers of its teacher.

docsim does not ship it: after 32,768 texts it answers questions no better than the default encoder, as
docs/research/encoder.md tells.

    python benchmarks/contextual_encoder.py --data DIR --teacher DIR --out DIR [--cache DIR] [--texts N] [--steps N]

1. The teacher embeds texts (``contextual_texts``). Its state of every token is kept, too.
2. The student, made of parts of the teacher (``contextual_student``), learns both. With its embeddings ``s`` and its
   states ``u``, and the teacher's ``t`` and ``v``, the loss of a batch of texts is

    mean(1 - cos(s_i, t_i)) + mean_i KL(softmax_j(t_i . t_j / T), softmax_j(s_i . s_j / T))
        + 0.3 mean(1 - cos(u_n, v_n))

3. Token vectors are rounded to int8, all other weights to float16, and the encoder is written.

What the teacher said is kept in ``--cache``. One core takes about an hour for the teacher and an hour for the student.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import contextual_texts
import keras
import numpy as np
import onnx
import tensorflow as tf
from contextual_student import Shape, student
from numpy.typing import NDArray
from tokenizers import Tokenizer

from docsim.encoding.encoder import Encoder
from docsim.runtime import onnxruntime
from docsim.training.data.batch_layout import epoch_order
from docsim.training.distill.student import agreement
from docsim.training.imports.checkpoint import read_transformer
from docsim.training.imports.importing import import_encoder
from docsim.training.imports.model_directory import ModelDirectory
from docsim.training.imports.transformer_model import transformer_parts
from docsim.training.towers.average import TOKENS_LAYER
from docsim.training.towers.kinds import compact
from docsim.training.towers.layers import Tensor
from docsim.training.towers.saving import Lineage, save

CACHE = Path(__file__).parents[1] / ".bench" / "contextual_encoder"
NAME = "all-minilm-l6-v2-context-384"
SEED = 0
TEXTS = 85_000
LEARNED = 32_768  # of these texts
HELD_OUT = 800
MOST_TOKENS = 160
MEASURED_TEXTS = 260  # by which heads and neurons are compared
AT_ONCE = 4096  # texts in a file of the cache
BATCH_TOKENS = 512  # of the teacher
TEMPERATURE = 0.07
STATES_SHARE = 0.3
CUTS = (0, 0.3, 0.5, 0.62, 0.72, 0.82, 0.92, 1)
"""Shares of a batch, sorted by length, that are padded to one length each."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Config:
    """How the student learns."""

    steps: int = 720
    batch: int = 192
    learning_rate: float = 6e-4
    warm_up: int = 40

    def optimizer(self, *, longest_gradient: float | None = None) -> keras.optimizers.Optimizer:
        rate = keras.optimizers.schedules.CosineDecay(
            0.0,
            decay_steps=max(1, self.steps - self.warm_up),
            warmup_target=self.learning_rate,
            warmup_steps=self.warm_up,
            alpha=0.02,
        )
        return keras.optimizers.Adam(rate, global_clipnorm=longest_gradient)


@dataclass(frozen=True, slots=True)
class Lesson:
    """Texts and what the teacher makes of them.

    Attributes:
        ids: Token ids of each text, special tokens included.
        states: The teacher's state of each token, float16 ``(tokens, width)`` for each text.
        embeddings: The teacher's embeddings, unit rows ``(texts, width)``.
    """

    ids: list[NDArray[np.int32]]
    states: list[NDArray[np.float16]]
    embeddings: Floats

    def batch(self, step: int, size: int) -> tuple[list[NDArray[np.int32]], list[NDArray[np.float16]], Floats]:
        """Return padded ids and states of the blocks of a batch, and the embeddings of all its texts."""
        count = len(self.ids) - HELD_OUT
        epoch, place = divmod(step, count // size)
        rows = HELD_OUT + epoch_order(count, seed=SEED, epoch=epoch)[place * size : (place + 1) * size]
        rows = np.array(sorted(rows.tolist(), key=lambda row: len(self.ids[row])))
        ends = [int(cut * size) for cut in CUTS]
        blocks = [rows[start:end] for start, end in pairwise(ends)]
        ids = [padded([self.ids[row] for row in block]) for block in blocks]
        return ids, [padded([self.states[row] for row in block]) for block in blocks], self.embeddings[rows]


def padded(rows: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
    block = np.zeros((len(rows), max(map(len, rows)), *rows[0].shape[1:]), rows[0].dtype)
    for line, row in zip(block, rows, strict=True):
        line[: len(row)] = row
    return block


def taught(teacher: Path, texts: list[str], cache: Path) -> Lesson:
    """Return what the teacher makes of texts; files in ``cache`` are read instead of asking again."""
    out = cache / "teacher"
    encoder = Encoder.load(out) if out.is_dir() else import_encoder(teacher, out)
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    tokenizer.enable_truncation(MOST_TOKENS)
    session, lesson, embeddings = telling_states(encoder), Lesson([], [], np.empty(0, np.float32)), []
    for begin in range(0, len(texts), AT_ONCE):
        some = texts[begin : begin + AT_ONCE]
        digest = hashlib.sha256("\0".join([encoder.fingerprint, *some]).encode()).hexdigest()[:32]
        file = cache / f"{digest}.npz"
        ids = [np.array(one.ids, np.int32) for one in tokenizer.encode_batch_fast(some)]
        if not file.is_file():
            rows, states = ask(session, ids)
            temporary = cache / f".{digest}.tmp.npz"
            np.savez(temporary, embeddings=rows, states=np.concatenate(states))
            temporary.replace(file)
            print(f"teacher: {begin + len(some)} of {len(texts)}", flush=True)
        kept = np.load(file)
        embeddings.append(kept["embeddings"].astype(np.float32))
        lesson.ids.extend(ids)
        lesson.states.extend(np.split(kept["states"], np.cumsum([len(one) for one in ids])[:-1]))
    rows = np.concatenate(embeddings)
    return replace(lesson, embeddings=rows / np.linalg.norm(rows, axis=1, keepdims=True))


def telling_states(encoder: Encoder) -> onnxruntime.InferenceSession:
    """Return a session of the teacher whose second output is the state of every token."""
    model = onnx.load(encoder.path / "tower.onnx")
    pooling = [node for node in model.graph.node if node.op_type == "MatMul"][-1]
    shape = ["texts", "tokens", encoder.dim]
    model.graph.output.append(onnx.helper.make_tensor_value_info(pooling.input[1], onnx.TensorProto.FLOAT, shape))
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def ask(
    session: onnxruntime.InferenceSession, ids: Sequence[NDArray[np.int32]]
) -> tuple[NDArray[np.float16], list[NDArray[np.float16]]]:
    """Return the teacher's embeddings of texts, and its states of their tokens."""
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    found: dict[int, tuple[Floats, NDArray[np.float16]]] = {}
    while order:
        count = next((n for n in range(1, len(order)) if (n + 1) * len(ids[order[n]]) > BATCH_TOKENS), len(order))
        rows, order = order[:count], order[count:]
        embeddings, states = session.run(None, {"ids": padded([ids[row] for row in rows])})
        for row, embedding, state in zip(rows, embeddings, states, strict=True):
            found[row] = embedding, state[: len(ids[row])].astype(np.float16)
    rows = np.array([found[row][0] for row in range(len(ids))], np.float16)
    return rows, [found[row][1] for row in range(len(ids))]


class Training:
    """A student that learns, and where it stands."""

    def __init__(self, tower: keras.Model, lesson: Lesson, config: Config) -> None:
        layer = tower.get_layer(TOKENS_LAYER)
        self.tower, self.lesson, self.config = tower, lesson, config
        self.telling = keras.Model(tower.input, [tower.output, tower.get_layer("pooling").input[0]])
        self.vectors = [layer.rows]
        kept = {id(one) for one in layer.variables}
        self.others = [one for one in tower.trainable_variables if id(one) not in kept]
        self.optimizers = config.optimizer(longest_gradient=1.0), config.optimizer()
        for optimizer, learned in zip(self.optimizers, (self.others, self.vectors), strict=True):
            optimizer.build(learned)
        blocks = len(CUTS) - 1
        ids, states = tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, None, None), tf.float16)
        rows = tf.TensorSpec((None, None), tf.float32)
        self.step = tf.function(self._step, input_signature=[[ids] * blocks, [states] * blocks, rows])

    def run(self) -> tuple[float, float]:
        """Do all steps; return the agreement with the teacher before and after."""
        before, began, losses = self.agreement(), time.monotonic(), []
        for step in range(self.config.steps):
            losses.append([float(one) for one in self.step(*self.lesson.batch(step, self.config.batch))])
            if (step + 1) % 50 == 0:
                seconds, means = time.monotonic() - began, np.mean(losses, axis=0).round(4)
                print(f"step {step + 1}, {seconds:.0f} s: {means}", flush=True)
                losses.clear()
        return before, self.agreement()

    def agreement(self) -> float:
        """Return the correlation with the teacher's cosines over the texts that are held out."""
        rows = np.empty((HELD_OUT, self.tower.output_shape[-1]), np.float32)
        order = np.argsort([len(one) for one in self.lesson.ids[:HELD_OUT]])
        for some in np.array_split(order, 20):
            rows[some] = self.tower(padded([self.lesson.ids[row] for row in some]))
        return agreement(rows, self.lesson.embeddings[:HELD_OUT])

    def _step(self, ids: list[Tensor], states: list[Tensor], taught: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with tf.GradientTape() as tape:
            told = [self.telling(block, training=True) for block in ids]
            rows = tf.concat([embeddings for embeddings, _ in told], axis=0)
            regression = tf.reduce_mean(1 - tf.reduce_sum(rows * taught, axis=-1))
            divergence = similarity_divergence(rows, taught)
            off = states_off([own for _, own in told], states, ids)
            loss = regression + divergence + STATES_SHARE * off
        gradients = tape.gradient(loss, [*self.others, *self.vectors])
        self.optimizers[0].apply(gradients[: len(self.others)])
        self.optimizers[1].apply(gradients[len(self.others) :])
        return regression, divergence, off


def similarity_divergence(rows: Tensor, taught: Tensor) -> Tensor:
    """Return how far the student's similarities of different texts in a batch are from the teacher's."""
    itself = tf.eye(tf.shape(rows)[0])
    own, wanted = (
        tf.nn.log_softmax(tf.matmul(one, one, transpose_b=True) / TEMPERATURE - 1e9 * itself) for one in (rows, taught)
    )
    return tf.reduce_mean(tf.reduce_sum(tf.exp(wanted) * (wanted - own) * (1 - itself), axis=-1))


def states_off(own: list[Tensor], wanted: list[Tensor], ids: list[Tensor]) -> Tensor:
    """Return the mean of 1 - cosine between the states of student and teacher, over all tokens that are not padding."""
    off = tokens = 0.0
    for student_states, teacher_states, block in zip(own, wanted, ids, strict=True):
        present = tf.cast(block != 0, tf.float32)
        exact = tf.cast(teacher_states, tf.float32)
        cosines = tf.reduce_sum(tf.nn.l2_normalize(student_states, -1) * tf.nn.l2_normalize(exact, -1), -1)
        off += tf.reduce_sum((1 - cosines) * present)
        tokens += tf.reduce_sum(present)
    return off / tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the training texts")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--texts", type=int, default=LEARNED)
    parser.add_argument("--steps", type=int, default=Config.steps)
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    drawn = contextual_texts.texts(options.data, seed=SEED, most=TEXTS)
    texts, shape, config = drawn[: options.texts], Shape(), Config(steps=options.steps)
    lesson, model = taught(options.teacher, texts, options.cache), ModelDirectory.open(options.teacher)
    parts = transformer_parts(model)
    tower = student(read_transformer(model), parts.tokenizer, drawn[-MEASURED_TEXTS:], shape)
    before, after = Training(tower, lesson, config).run()
    content = [
        Encoder.load(options.cache / "teacher").fingerprint,
        "\0".join(drawn),
        json.dumps([options.texts, asdict(shape), asdict(config)]),
    ]
    lineage = Lineage(
        seed=SEED,
        teacher="all-MiniLM-L6-v2",
        material=hashlib.sha256(" ".join(content).encode()).hexdigest(),
        metrics={
            "agreement_before": round(before, 6),
            "agreement_after": round(after, 6),
            "steps": config.steps,
            "multiplications_per_token": shape.operations(),
        },
    )
    parts = replace(parts, tower=compact(tower, policy="float16"), max_tokens=shape.positions, precision="float16")
    encoder = save(parts, options.out, name=NAME, lineage=lineage)
    print(f"agreement {before:.4f} -> {after:.4f}; fingerprint {encoder.fingerprint[:12]} in {encoder.path}")


if __name__ == "__main__":
    main()
