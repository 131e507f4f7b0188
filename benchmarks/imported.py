"""An imported sentence encoder against sentence-transformers: agreement and speed, in one run, alternating.

    python benchmarks/imported.py --teacher all-MiniLM-L6-v2/ --data ../shared/data --peer-python PEER/bin/python

``--peer-python`` is the interpreter of an environment with torch and sentence-transformers. Both sides encode the same
texts in an order of their own choice, cut at 256 tokens, on every core; while one works, the other waits.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from judged import Judged, load, ndcg_at_10
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder

RESULT = Path(__file__).parent / "results" / "imported.json"
MAX_TOKENS = 256
JUDGED = "handbook18f"

PEER = f"""
import json, sys, time
import numpy, sentence_transformers, torch
model = sentence_transformers.SentenceTransformer(sys.argv[1], device="cpu")
model.max_seq_length = {MAX_TOKENS}
versions = {{"sentence-transformers": sentence_transformers.__version__, "torch": torch.__version__}}
print(json.dumps(versions), flush=True)
for line in sys.stdin:
    task = json.loads(line)
    texts = json.load(open(task["texts"]))
    start, cpu = time.perf_counter(), time.process_time()
    embeddings = model.encode(texts, batch_size=32, show_progress_bar=False)
    spent = [time.perf_counter() - start, time.process_time() - cpu]
    numpy.save(task["out"], embeddings)
    print(json.dumps(spent), flush=True)
"""

ODD = [
    "",
    " ",
    "a",
    ".",
    "[PAD]",
    "a [MASK] in [CLS] the middle [SEP] of [PAD] text",
    "\x00 null \x07 bell",
    "\ufeffBOM",
    "NAÏVE CAFÉ",
    "naïve",
    "😀 👨\u200d👩\u200d👧",
    "中文没有空格",
    "日本語のテキスト",
    "العربية",
    "עברית",
    "हिन्दी",
    "ไทย",
    "한국어",
    "Ελληνικά",
    "Русский текст",
    "3.14159e-10",
    "https://example.com/a/b?c=d&e=f#g",
    "def f(x):\n    return x ** 2  # squared",
    "<p>HTML &amp; entities</p>",
    '{"json": [1, 2, null]}',
    "a\tb\tc\nd\r\ne",
    "!!!???...",
    "user@example.com",
    "$1,234.56 – 50 % off",
    "C:\\Users\\x\\y.txt",
    "SELECT * FROM t WHERE a = 'b';",
    "ﬁligature Ⅷ ½ ²",
    "ＦＵＬＬＷＩＤＴＨ",
    "\u200bzero\u200bwidth\xa0space",
    "E=mc²; ∑∫√≠",
    "Mr. O'Neill's co-op didn't re-open.",
    "ALL CAPS SENTENCE HERE",
    "mixedCase snake_case kebab-case CamelCase",
    "x" * 300,
    "word " * 600,
    "1234567890 " * 40,
]


class Peer:
    """sentence-transformers in a process of its own."""

    def __init__(self, python: str, teacher: Path, folder: Path) -> None:
        command = [python, "-c", PEER, str(teacher)]
        self.folder = folder
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.versions = self._answer()

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[float]]:
        """Return the embeddings, and the seconds they took: on the clock, and of all cores together."""
        task = {"texts": str(self.folder / "texts.json"), "out": str(self.folder / "embeddings.npy")}
        Path(task["texts"]).write_text(json.dumps(list(texts)), encoding="utf-8")
        assert self.process.stdin
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        spent = self._answer()
        return np.load(task["out"]), spent

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())


def imported(teacher: Path, folder: Path, *, int8: bool) -> Encoder:
    """Import the teacher in a process of its own, so that TensorFlow's threads are gone when encoding is timed."""
    out = folder / ("int8" if int8 else "float32")
    code = (
        "import sys; from pathlib import Path; from docsim.training.imports.importing import Wishes, import_encoder; "
        f"import_encoder(Path(sys.argv[1]), Path(sys.argv[2]), Wishes(int8={int8}))"
    )
    subprocess.run([sys.executable, "-c", code, str(teacher), str(out)], check=True)
    return Encoder.load(out)


def timed(encoder: Encoder, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[float]]:
    start, cpu = time.perf_counter(), time.process_time()
    embeddings = encoder.encode(texts)
    return embeddings, [time.perf_counter() - start, time.process_time() - cpu]


def speeds(peer: Peer, encoders: dict[str, Encoder], texts: Sequence[str], *, rounds: int) -> dict[str, Any]:
    """Return the best of several rounds for each side, in texts a second on the clock and a second of one core."""
    sides: dict[str, Callable[[Sequence[str]], tuple[NDArray[np.float32], list[float]]]]
    sides = {"sentence-transformers": peer.encode}
    sides |= {name: partial(timed, encoder) for name, encoder in encoders.items()}
    spent: dict[str, list[list[float]]] = {name: [] for name in sides}
    for _ in range(rounds + 1):
        for name, encode in sides.items():
            spent[name].append(encode(texts)[1])
    best = {
        name: [len(texts) / min(column) for column in zip(*times[1:], strict=True)] for name, times in spent.items()
    }
    base = best["sentence-transformers"]
    return {
        name: {
            "texts_per_second": round(clock, 2),
            "texts_per_core_second": round(core, 2),
            "times_as_fast": round(clock / base[0], 2),
            "times_as_fast_per_core": round(core / base[1], 2),
        }
        for name, (clock, core) in best.items()
    }


def agreement(peer: Peer, encoders: dict[str, Encoder], texts: Sequence[str]) -> dict[str, dict[str, float]]:
    theirs = peer.encode(texts)[0]
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    cosines = {name: (encoder.encode(texts) * theirs).sum(axis=1) for name, encoder in encoders.items()}
    return {
        name: {"mean": round(float(all_.mean()), 6), "least": round(float(all_.min()), 6)}
        for name, all_ in cosines.items()
    }


def ndcg(judged: Judged, encode: Any) -> float:
    """Return nDCG@10 of documents cut at 256 tokens, each one vector, document to document."""
    ids = [document["id"] for document in judged.documents]
    embeddings = encode([f"{document['title']}\n{document['text']}" for document in judged.documents])
    place = {id: row for row, id in enumerate(ids)}
    run = {}
    for query, text in judged.queries.items():
        vector = embeddings[place[query]] if text is None else encode([text])[0]
        ranked = np.argsort(-(embeddings @ vector), kind="stable")[:11]
        run[query] = [ids[row] for row in ranked if not (judged.exclude_self and ids[row] == query)][:10]
    return round(ndcg_at_10(run, judged.qrels), 4)


def machine(peer: Peer) -> dict[str, object]:
    """What was measured, and on what."""
    return {
        "what": "texts a second through ONNX Runtime against sentence-transformers, best of rounds, alternating",
        "machine": {"cores": os.cpu_count(), "system": platform.system(), "load": round(os.getloadavg()[0], 1)},
        "versions": {**peer.versions, "onnxruntime": version("onnxruntime"), "python": platform.python_version()},
    }


def given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder with the judged sets")
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--texts", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    options = given()
    judged = load(options.data / "dev" / JUDGED)
    long = [document["text"] for document in judged.documents if document["text"]][: options.texts]
    short = [paragraph for text in long for paragraph in text.split("\n\n")][: 4 * options.texts]
    with TemporaryDirectory() as name:
        folder = Path(name)
        encoders = {
            f"docsim {kind}": imported(options.teacher, folder, int8=kind == "int8") for kind in ("float32", "int8")
        }
        peer = Peer(options.peer_python, options.teacher, folder)
        result = {
            **machine(peer),
            "max_tokens": MAX_TOKENS,
            "documents": {"texts": len(long), "speed": speeds(peer, encoders, long, rounds=options.rounds)},
            "paragraphs": {"texts": len(short), "speed": speeds(peer, encoders, short, rounds=options.rounds)},
            "cosine_with_original": agreement(peer, encoders, [*long, *short]),
            "cosine_with_original_on_odd_texts": agreement(peer, encoders, ODD),
            "ndcg_at_10": {
                "set": judged.name,
                "sentence-transformers": ndcg(judged, lambda texts: peer.encode(texts)[0]),
                **{name: ndcg(judged, encoder.encode) for name, encoder in encoders.items()},
            },
        }
        peer.close()
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
