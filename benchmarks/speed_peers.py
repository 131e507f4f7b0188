"""What the peers do in ``speed.py``; run by the interpreter of each peer's own environment, so without docsim.

Prints one line of JSON with what it measured, in seconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from speed_samples import documents, queries

SINGLE_TEXTS = 500


def distill(teacher: Path, target: Path) -> dict[str, Any]:
    """Distil a static model of 256 dimensions, with every other setting at its default."""
    from model2vec.distill import distill as distilled

    started = time.perf_counter()
    distilled(str(teacher), pca_dims=256).save_pretrained(str(target))
    return {"distill_s": time.perf_counter() - started}


def export(teacher: Path, target: Path) -> dict[str, Any]:
    """Write the transformer in the form in which Chroma would download it."""
    import torch
    from transformers import AutoModel

    folder = target / "onnx"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "special_tokens_map.json", "tokenizer_config.json", "tokenizer.json", "vocab.txt"):
        shutil.copy(teacher / name, folder / name)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    model = AutoModel.from_pretrained(teacher, attn_implementation="eager").eval()

    class States(torch.nn.Module):  # type: ignore[misc]  # mypy does not read torch's own types
        def __init__(self) -> None:
            super().__init__()
            self.bert = model

        def forward(self, ids: Any, mask: Any, types: Any) -> Any:
            return self.bert(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state

    torch.onnx.export(
        States(),
        tuple(torch.ones((2, 8), dtype=torch.int64) for _ in names),
        folder / "model.onnx",
        input_names=names,
        output_names=["last_hidden_state"],
        dynamic_axes={name: {0: "batch", 1: "tokens"} for name in (*names, "last_hidden_state")},
        dynamo=False,
    )
    return {"bytes": (folder / "model.onnx").stat().st_size}


def encode(model: Path, corpus: Path, precision: str) -> dict[str, Any]:
    """Encode the documents in full, in one call."""
    from model2vec import StaticModel

    texts = documents(corpus)
    static = StaticModel.from_pretrained(str(model), quantize_to=precision)
    started = time.perf_counter()
    vectors = static.encode(texts, max_length=None)
    return {"encode_s": time.perf_counter() - started, "documents": len(vectors)}


def encode_both(model: Path, corpus: Path, precision: str) -> dict[str, Any]:
    """Encode documents in one call, and short texts one at a time, in a model that has encoded before."""
    from model2vec import StaticModel

    static = StaticModel.from_pretrained(str(model), quantize_to=precision)
    texts = documents(corpus)
    static.encode(texts[:100], max_length=None)
    started = time.perf_counter()
    static.encode(texts, max_length=None)
    batch = time.perf_counter() - started
    each = []
    for text in queries(corpus, SINGLE_TEXTS):
        started = time.perf_counter()
        static.encode([text], max_length=None)
        each.append(time.perf_counter() - started)
    return {"batch_s": batch, "documents": len(texts), "single_s": each}


def txtai(model: Path, corpus: Path, *, whole: bool) -> dict[str, Any]:
    """Index the documents with their content and save the index; loading txtai and the model is not counted.

    Args:
        model: A transformer, which reads the first 512 tokens of a text, or a static model.
        corpus: The documents.
        whole: Let a static model read the documents in full, as docsim does.
    """
    from txtai import Embeddings

    embeddings = Embeddings(path=str(model), content=True, **({"vectors": {"max_length": None}} if whole else {}))
    texts = documents(corpus)
    embeddings.batchtransform(texts[:2])
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        embeddings.index(enumerate(texts))
        embeddings.save(folder + "/index")
        taken = time.perf_counter() - started
    return {"index_s": taken, "documents": len(texts)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=("distill", "export", "encode", "encode-both", "txtai", "txtai-static"))
    parser.add_argument("model", type=Path)
    parser.add_argument("subject", type=Path, help="documents, or where to save what is distilled")
    parser.add_argument("--precision", default="float16")
    given = parser.parse_args()
    jobs = {
        "distill": lambda: distill(given.model, given.subject),
        "export": lambda: export(given.model, given.subject),
        "encode": lambda: encode(given.model, given.subject, given.precision),
        "encode-both": lambda: encode_both(given.model, given.subject, given.precision),
        "txtai": lambda: txtai(given.model, given.subject, whole=False),
        "txtai-static": lambda: txtai(given.model, given.subject, whole=True),
    }
    print(json.dumps(jobs[given.job]()))


if __name__ == "__main__":
    main()
