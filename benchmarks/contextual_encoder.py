"""How docsim's accurate encoder was made: four of its teacher's six layers, distilled on a CPU.

    python benchmarks/contextual_encoder.py --data DIR --teacher DIR --out DIR [--layers 0,2,4,5] [--checkpoint FILE]
    python benchmarks/contextual_encoder.py --data DIR --start ENCODER --out DIR

1. The student takes the teacher's token vectors, which stay as they are, and some of its layers.
2. In each step teacher and student read the same texts (``contextual_texts``). With the student's embeddings ``s`` and
   states of tokens ``u``, and the teacher's ``t`` and ``v``, the loss is

    4 mean(1 - cos(s_i, t_i)) + mean_i KL(softmax_j(t_i . t_j / T), softmax_j(s_i . s_j / T)) + mean(1 - cos(u_n, v_n))

3. Tokens that people hardly write are left out of the vocabulary (``contextual_vocabulary``).
4. Token vectors, matrix products and attention are rounded to int8, and the encoder is written without ``tower.keras``:
   training starts from the export.

A checkpoint is written every 200 steps, and read when there is one. With ``--start``, an encoder that was distilled
before only goes through the last two steps.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import contextual_texts
import contextual_vocabulary
import keras
import numpy as np
import tensorflow as tf
from contextual_student import Network
from numpy.typing import NDArray
from tokenizers import Tokenizer

from docsim.training.distill.student import agreement
from docsim.training.imports.checkpoint import read_transformer
from docsim.training.imports.model_directory import WEIGHTS_FILE, ModelDirectory
from docsim.training.imports.transformer_model import transformer_parts
from docsim.training.towers.bert import Transformer, states_of
from docsim.training.towers.from_export import weights_of_export
from docsim.training.towers.kinds import compact
from docsim.training.towers.layers import Pooling, UnitLength
from docsim.training.towers.saving import EncoderParts, Lineage, load, save

NAME = "all-minilm-l6-v2-4-layers"
SEED = 0
TEXTS = 700_000
HELD_OUT = 768
TEMPERATURE = 0.07
POSITIONS = 512  # tokens of a text that are read: a passage of code or a table has up to 500
CUTS = (0, 0.35, 0.6, 0.75, 0.88, 1)
"""Shares of a batch, sorted by length, that are padded to one length each."""

Tensor = Any
Floats = NDArray[np.float32]
Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Config:
    """How the student learns.

    Attributes:
        layers: Which of the teacher's layers it takes.
        steps: Batches that are learned from.
        batch: Texts in a step.
        most_tokens: Tokens of a text that are read while learning.
        learning_rate: Highest rate of Adam; it falls to 2 % of it along a cosine.
        warm_up: Steps in which the rate rises.
    """

    layers: tuple[int, ...] = (0, 2, 4, 5)
    steps: int = 1175
    batch: int = 192
    most_tokens: int = 128
    learning_rate: float = 4e-4
    warm_up: int = 60


class Lessons:
    """Texts as token ids, in batches; the first ones are held out."""

    def __init__(self, texts: list[str], tokenizer: Tokenizer, config: Config) -> None:
        tokenizer.enable_truncation(config.most_tokens)
        self._config = config
        self._ids = [np.array(one.ids, np.int32) for one in tokenizer.encode_batch_fast(texts)]
        self._order = HELD_OUT + np.random.default_rng(SEED).permutation(len(texts) - HELD_OUT)

    def batch(self, step: int) -> list[Ids]:
        """Return the blocks of a batch, shortest first."""
        size = self._config.batch
        rows = self._order[(step * size + np.arange(size)) % len(self._order)]
        ids = sorted((self._ids[row] for row in rows), key=len)
        ends = [int(cut * size) for cut in CUTS]
        return [padded(ids[start:end]) for start, end in pairwise(ends)]

    def held_out(self, network: Network) -> Floats:
        """Return a network's embeddings of the texts that are held out."""
        order = np.argsort([len(one) for one in self._ids[:HELD_OUT]])
        rows = np.empty((HELD_OUT, network.shape.words.shape[1]), np.float32)
        for some in np.array_split(order, 16):
            rows[some] = network(tf.constant(padded([self._ids[row] for row in some])))[0]
        return rows


class Distillation:
    """A student that learns from its teacher, and where it stands."""

    def __init__(self, teacher: Network, student: Network, *, rate: float, steps: int, warm_up: int) -> None:
        self.teacher, self.student = teacher, student
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, steps - warm_up), alpha=0.02, warmup_target=rate, warmup_steps=warm_up
        )
        self.optimizer = keras.optimizers.Adam(schedule, beta_2=0.98, epsilon=1e-8, global_clipnorm=1.0)
        block = tf.TensorSpec((None, None), tf.int32)
        self.step = tf.function(self._step, input_signature=[[block] * (len(CUTS) - 1)])

    def _step(self, blocks: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        taught = [self.teacher(ids) for ids in blocks]
        with tf.GradientTape() as tape:
            learned = [self.student(ids) for ids in blocks]
            targets, rows = (tf.concat([one[0] for one in found], 0) for found in (taught, learned))
            off = tf.reduce_mean(1 - tf.reduce_sum(targets * rows, -1))
            divergence, states = similarity_divergence(rows, targets), states_off(learned, taught)
            loss = 4 * off + divergence + states
        variables = self.student.variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return off, divergence, states


def similarity_divergence(rows: Tensor, targets: Tensor) -> Tensor:
    """Return how far the student's similarities of different texts in a batch are from the teacher's."""
    itself = tf.eye(tf.shape(rows)[0])
    own, wanted = (
        tf.nn.log_softmax(tf.matmul(one, one, transpose_b=True) / TEMPERATURE - 1e9 * itself) for one in (rows, targets)
    )
    return tf.reduce_mean(tf.reduce_sum(tf.exp(wanted) * (wanted - own) * (1 - itself), -1))


def states_off(learned: list[Any], taught: list[Any]) -> Tensor:
    """Return the mean of 1 - cosine between the states of student and teacher, over all tokens that are not padding."""
    off = tokens = 0.0
    for (_, own, present), (_, wanted, _) in zip(learned, taught, strict=True):
        cosines = tf.reduce_sum(tf.nn.l2_normalize(own, -1) * tf.nn.l2_normalize(wanted, -1), -1)
        off += tf.reduce_sum((1 - cosines) * present)
        tokens += tf.reduce_sum(present)
    return off / tokens


def padded(rows: list[Ids]) -> Ids:
    block = np.zeros((len(rows), max(map(len, rows))), np.int32)
    for line, row in zip(block, rows, strict=True):
        line[: len(row)] = row
    return block


def distilled(whole: Transformer, lessons: Lessons, config: Config, checkpoint: Path) -> tuple[Transformer, float]:
    """Return the student's weights, and its agreement with the teacher's similarities over the texts held out."""
    teacher = Network(whole)
    targets = lessons.held_out(teacher)
    student = Network(replace(whole, blocks=tuple(whole.blocks[number] for number in config.layers)))
    done = 0
    if checkpoint.is_file():
        student.load(checkpoint)
        done = int(np.load(checkpoint)["step"])
    if done < config.steps:
        run = Distillation(teacher, student, rate=config.learning_rate, steps=config.steps, warm_up=config.warm_up)
        learn(run, lessons, range(done, config.steps), checkpoint)
    return student.transformer(), agreement(lessons.held_out(student), targets)


def learn(run: Distillation, lessons: Lessons, steps: range, checkpoint: Path) -> None:
    run.optimizer.build(run.student.variables)
    run.optimizer.iterations.assign(steps.start)
    began, losses = time.monotonic(), []
    for step in steps:
        losses.append([float(one) for one in run.step(lessons.batch(step))])
        if (step + 1) % 50 == 0:
            print(f"step {step + 1}, {time.monotonic() - began:.0f} s: {np.mean(losses, axis=0).round(4)}", flush=True)
            losses.clear()
        if (step + 1) % 200 == 0 or step + 1 == steps.stop:
            run.student.save(checkpoint, step=step + 1)


def tower(weights: Transformer) -> keras.Model:
    ids = keras.Input(shape=(None,), dtype="int32", name="ids")
    rows = Pooling("mean", dtype="float32", name="pooling")(states_of(weights, ids), ids)
    return keras.Model(ids, UnitLength(dtype="float32", name="unit_length")(rows), name="transformer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the training texts")
    parser.add_argument("--teacher", type=Path, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--start", type=Path, help="folder of an encoder that was distilled before")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=Path(".bench") / "contextual_encoder.npz")
    parser.add_argument("--layers", default=",".join(map(str, Config().layers)))
    options = parser.parse_args()
    if (options.teacher is None) == (options.start is None):
        parser.error("expected either --teacher or --start")
    texts = contextual_texts.texts(options.data, seed=SEED, most=TEXTS)
    if options.start:
        again(options.start, texts, options.out)
        return
    config = Config(layers=tuple(map(int, options.layers.split(","))))
    options.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    model = ModelDirectory.open(options.teacher)
    parts, whole = transformer_parts(model), read_transformer(model)
    whole = replace(whole, words=np.concatenate([whole.words, whole.words[:1]]), positions=whole.positions[:POSITIONS])
    lessons = Lessons(texts, Tokenizer.from_str(parts.tokenizer.to_str()), config)
    weights, agreed = distilled(whole, lessons, config, options.checkpoint)
    lineage = Lineage(
        seed=SEED,
        teacher="all-MiniLM-L6-v2",
        material=material(model, texts, config),
        metrics={"agreement_after": round(agreed, 6), "steps": config.steps},
    )
    write(parts, weights, lineage, texts, options.out)


def again(start: Path, texts: list[str], out: Path) -> None:
    """Write an encoder that was distilled before, with a smaller vocabulary."""
    before = json.loads((start / "manifest.json").read_text(encoding="utf-8"))["lineage"]
    lineage = Lineage(
        seed=before["seed"], teacher=before["teacher"], material=before["material"], metrics=before["metrics"]
    )
    write(load(start), weights_of_export(start / "tower.onnx"), lineage, texts, out)


def write(parts: EncoderParts, weights: Transformer, lineage: Lineage, texts: list[str], out: Path) -> None:
    """Write an encoder with a smaller vocabulary."""
    tokenizer, kept = contextual_vocabulary.smaller(parts.tokenizer, texts)
    made = replace(
        parts,
        tower=compact(tower(replace(weights, words=weights.words[kept]))),
        tokenizer=tokenizer,
        preprocessing=replace(parts.preprocessing, empty_id=tokenizer.token_to_id("[UNK]")),
        max_tokens=POSITIONS,
        precision="int8",
    )
    encoder = save(made, out, name=NAME, lineage=lineage, with_tower=False)
    print(f"{len(kept)} tokens; fingerprint {encoder.fingerprint[:12]} in {encoder.path}")


def material(model: ModelDirectory, texts: list[str], config: Config) -> str:
    weights = hashlib.sha256((model.core / WEIGHTS_FILE).read_bytes()).hexdigest()
    content = "\0".join([weights, json.dumps(asdict(config)), *texts])
    return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()


if __name__ == "__main__":
    main()
