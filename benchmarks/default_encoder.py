"""The recipe of the default encoder: vocabulary, then texts, as docs/research/encoder.md tells.

    python benchmarks/default_encoder.py --data DIR --teacher DIR --out DIR [--cache DIR] [--texts N] [--steps N]

1. The teacher's vocabulary is distilled (``docsim distill``).
2. Token vectors and weights learn from the teacher's embeddings of 160,000 texts (``default_texts``,
   ``docsim.training.distill.student``), with the first 128 and 64 components to do alone.
3. They are rounded to int8 and written as an encoder directory.

The teacher answers as int8 ONNX. What it said is kept in ``--cache``, and so a run that was killed goes on from there:
what remains, the learning, takes some minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

import default_texts
import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.training.data.batch_layout import input_format, tokenize
from docsim.training.distill.from_vocabulary import DistillationRecipe, distill_vocabulary
from docsim.training.distill.student import DistillationSet, StudentConfig, StudentResult, train_student
from docsim.training.distill.teacher import Teacher, load_teacher
from docsim.training.imports.importing import Wishes, import_encoder
from docsim.training.towers.kinds import compact, trainable
from docsim.training.towers.saving import EncoderParts, Lineage, save

CACHE = Path(__file__).parents[1] / ".bench" / "default_encoder"
NAME = "all-minilm-l6-v2-static-256"
SEED = 0
TEXTS = 160_000
HELD_OUT = 1000
MOST_TOKENS = 160
TUNING = StudentConfig(
    steps=930, batch=512, learning_rate=2e-3, probe_every=62, patience=10, seed=SEED, dims=(128, 64), decay=True
)


def asked(teacher: Path, texts: list[str], cache: Path) -> NDArray[np.float32]:
    """Return the teacher's embeddings of the texts, unit rows, from its int8 export."""
    out = cache / "teacher-int8"
    encoder = Encoder.load(out) if out.is_dir() else import_encoder(teacher, out, Wishes(int8=True))
    rows = default_texts.embeddings(encoder, texts, cache / "embeddings")
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def learned(
    parts: EncoderParts, texts: list[str], targets: NDArray[np.float32], tuning: StudentConfig
) -> tuple[EncoderParts, StudentResult]:
    """Return the student after learning from texts, small again, and how it went; the last texts are held out."""
    tower, frame = trainable(parts.tower), input_format(parts)
    held = np.arange(len(texts)) >= len(texts) - HELD_OUT
    lesson = DistillationSet(tokenize(texts, parts, max_tokens=MOST_TOKENS), targets, held, frame)
    done = train_student(tower, lesson, tuning)
    return replace(parts, tower=compact(tower), dims=tuning.dims), done


def written(parts: EncoderParts, done: StudentResult, out: Path, *, teacher: Teacher, material: str) -> Encoder:
    metrics = {
        "agreement_before": round(done.before, 6),
        "agreement_after": round(done.after, 6),
        "steps": done.steps,
    }
    lineage = Lineage(seed=SEED, teacher="all-MiniLM-L6-v2", material=material, metrics=metrics)
    return save(parts, out, name=NAME, lineage=lineage)


def main() -> None:
    logging.basicConfig(level=logging.INFO)  # tells of every measurement while the student learns
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the training texts")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--texts", type=int, default=TEXTS)
    parser.add_argument("--steps", type=int, default=TUNING.steps)
    options = parser.parse_args()
    texts = default_texts.texts(options.data, seed=SEED, most=options.texts)
    targets = asked(options.teacher, texts, options.cache)
    teacher = load_teacher(options.teacher)
    tuning = replace(TUNING, steps=options.steps)
    parts, done = learned(distill_vocabulary(teacher, DistillationRecipe()), texts, targets, tuning)
    content = [teacher.digest, hashlib.sha256("\0".join(texts).encode()).hexdigest(), json.dumps(asdict(tuning))]
    material = hashlib.sha256(" ".join(content).encode()).hexdigest()
    encoder = written(parts, done, options.out, teacher=teacher, material=material)
    print(f"agreement {done.before:.4f} -> {done.after:.4f}; fingerprint {encoder.fingerprint[:12]} in {encoder.path}")


if __name__ == "__main__":
    main()
