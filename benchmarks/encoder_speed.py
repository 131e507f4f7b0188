"""How fast are the shipped encoders, beside their teacher? Encodes the same texts with each, in turns.

    python benchmarks/encoder_speed.py --data DIR --teacher DIR [--sentence-transformers PYTHON]

Texts are runs of 120 words from ``kubernetes``, and its titles as questions. ``PYTHON`` is the interpreter of an
environment with sentence-transformers, in which the teacher runs as people run it, with its default settings. All use
both cores. Writes ``results/encoder_speed.json``: medians of three rounds, in texts a second and ms a question,
and how many times as fast as sentence-transformers each is.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from judged import load

from docsim import Encoder

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".bench" / "questions"
RESULTS = Path(__file__).parent / "results" / "encoder_speed.json"
PEER = "sentence-transformers"
TEXTS, WORDS, QUESTIONS, ROUNDS = 400, 120, 60, 3

_PEER = """
import json, sys, time
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu")
given = json.load(open(sys.argv[2]))
model.encode(given["texts"][:8])
for line in sys.stdin:
    began = time.perf_counter()
    model.encode(given["texts"])
    middle = time.perf_counter()
    for one in given["questions"]:
        model.encode([one])
    print(json.dumps([middle - began, time.perf_counter() - middle]), flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--sentence-transformers", type=Path, help="an interpreter that has sentence-transformers")
    options = parser.parse_args()
    texts, questions = given(options.data)
    encoders = {name: Encoder.load(name) for name in ("fast", "accurate")} | {"teacher in docsim": teacher(options)}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in encoders}
    peer = Peer(options, texts, questions) if options.sentence_transformers else None
    for _ in range(ROUNDS):
        for name, encoder in encoders.items():
            taken[name].append(timed(encoder, texts, questions))
        if peer:
            taken.setdefault(PEER, []).append(peer.timed())
    found = summary(taken)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


def given(data: Path) -> tuple[list[str], list[str]]:
    documents = load(data / "kubernetes").documents
    words = " ".join(one["text"] for one in documents[::9]).split()
    texts = [" ".join(words[start : start + WORDS]) for start in range(0, TEXTS * WORDS, WORDS)]
    return texts, [one["title"] for one in documents[:QUESTIONS]]


def teacher(options: argparse.Namespace) -> Encoder:
    from docsim.training.imports.importing import import_encoder

    kept = KEPT / "teacher"
    return Encoder.load(kept) if kept.is_dir() else import_encoder(options.teacher, kept)


def timed(encoder: Encoder, texts: list[str], questions: list[str]) -> tuple[float, float]:
    began = time.perf_counter()
    encoder.encode(texts)
    middle = time.perf_counter()
    for one in questions:
        encoder.encode([one])
    return middle - began, time.perf_counter() - middle


class Peer:
    """The teacher in sentence-transformers, in a process of its own that waits for its turn."""

    def __init__(self, options: argparse.Namespace, texts: list[str], questions: list[str]) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
            json.dump({"texts": texts, "questions": questions}, file)
        command = [str(options.sentence_transformers), "-c", _PEER, str(options.teacher), file.name]
        offline = os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONPATH": ""}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=offline)

    def timed(self) -> tuple[float, float]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        texts, questions = json.loads(self._process.stdout.readline())
        return texts, questions


def summary(taken: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in taken.items()}
    base = medians.get(PEER)
    return {
        "load": round(os.getloadavg()[0], 2),
        "encoders": {
            name: {
                "texts_per_s": round(TEXTS / texts, 1),
                "ms_per_question": round(1000 * questions / QUESTIONS, 3),
                **({"times_as_fast": round(base[0] / texts, 2)} if base else {}),
            }
            for name, (texts, questions) in medians.items()
        },
    }


if __name__ == "__main__":
    main()
