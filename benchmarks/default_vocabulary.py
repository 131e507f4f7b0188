"""Makes the vocabulary of the fast encoder smaller: the words that people write least are left out, and read in pieces.

    python benchmarks/default_vocabulary.py ENCODER OUT [--words N]

ENCODER is an encoder of token averages whose vocabulary is one of WordPiece. Its vectors stay as they are, so nothing
is trained. What people write is told by ``wordfreq`` (from PyPI), of subtitles, news, forums and books. Only words are
left out that the accurate encoder does without, too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import wordfreq
from onnx import numpy_helper

from docsim.encoding import shipped
from docsim.encoding.encoder import MANIFEST_FILE, ONNX_FILE, TOKENIZER_FILE
from docsim.encoding.manifest import Preprocessing, fingerprint, read_manifest

WORDS = 1_200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--words", type=int, default=WORDS, help="how many are left out")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    kept = smaller_tokenizer(options.encoder, options.out, options.words)
    smaller_tower(options.encoder, options.out, kept)
    manifest = read_manifest(options.encoder)
    manifest["files"] = {
        name: hashlib.sha256((options.out / name).read_bytes()).hexdigest() for name in manifest["files"]
    }
    settings = Preprocessing(**manifest["preprocessing"])
    manifest["fingerprint"] = fingerprint(
        manifest["files"], preprocessing=settings, max_tokens=int(manifest["max_tokens"])
    )
    (options.out / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    shutil.copy(options.encoder / "README.md", options.out / "README.md")
    print(f"{len(kept):,} tokens, fingerprint {manifest['fingerprint'][:12]}")


def smaller_tokenizer(source: Path, out: Path, words: int) -> list[int]:
    """Write the tokenizer without the rarest words; return the old ids of what is kept, in their new order."""
    content = json.loads((source / TOKENIZER_FILE).read_text())
    vocabulary: dict[str, int] = content["model"]["vocab"]
    needed = json.loads((shipped.directory(shipped.ACCURATE) / TOKENIZER_FILE).read_text())["model"]["vocab"]
    spare = [token for token in vocabulary if token not in needed and token.isascii() and token.isalpha()]
    dropped = set(sorted(spare, key=lambda token: (wordfreq.zipf_frequency(token, "en", "large"), token))[:words])
    kept = sorted(id for token, id in vocabulary.items() if token not in dropped)
    new = {old: id for id, old in enumerate(kept)}
    content["model"]["vocab"] = {token: new[id] for token, id in vocabulary.items() if id in new}
    (out / TOKENIZER_FILE).write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")))
    return kept


def smaller_tower(source: Path, out: Path, kept: list[int]) -> None:
    """Write the tower with only some rows of the tables that have one for each token."""
    model = onnx.load(source / ONNX_FILE)
    for table in model.graph.initializer:
        if table.dims and table.dims[0] > max(kept):
            rows = np.ascontiguousarray(numpy_helper.to_array(table)[kept])
            table.CopyFrom(numpy_helper.from_array(rows, table.name))
    onnx.save(model, out / ONNX_FILE)


if __name__ == "__main__":
    main()
