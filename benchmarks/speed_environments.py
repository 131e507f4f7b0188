"""The peers' own environments, made once in a cache directory, and the models that they encode with.

model2vec    encodes; nothing else is installed that could slow its start
distill      makes the static model, with torch and transformers
txtai        indexes, with torch and transformers; txtai-api also serves
vicinity     searches what model2vec encodes, with hnswlib as its approximate back end
faiss        the same, with nothing but FAISS
chroma       indexes, with ONNX Runtime
llm          indexes, with torch and sentence-transformers
sentence     sentence-transformers and FAISS, with torch; also writes the transformer as ONNX, for Chroma
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PEERS = HERE / "speed_peers.py"
TORCH = "torch==2.13.0+cpu"
REQUIREMENTS = {
    "model2vec": ("model2vec==0.10.0",),
    "distill": ("torch", "model2vec[distill,quantization]==0.10.0"),
    "txtai": ("torch", "txtai==9.14.0", "model2vec==0.10.0"),
    "txtai-api": ("torch", "txtai[api]==9.14.0", "model2vec==0.10.0"),
    "vicinity": ("model2vec==0.10.0", "vicinity[hnsw]==0.4.6"),
    "faiss": ("faiss-cpu==1.15.1", "model2vec==0.10.0"),
    "chroma": ("chromadb==1.5.9", "model2vec==0.10.0"),
    "llm": ("torch", "llm==0.36", "llm-sentence-transformers==0.3.2"),
    "sentence": ("torch", "sentence-transformers==6.2.0", "faiss-cpu==1.15.1", "onnx==1.23.2"),
}
IN_SPEED = ("model2vec", "distill", "txtai")
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "ANONYMIZED_TELEMETRY": "False",  # Chroma's
}


@dataclass(frozen=True)
class Peers:
    """Interpreters by environment, and the models that the peers use."""

    interpreters: dict[str, Path]
    teacher: Path
    static: Path
    onnx: Path

    def command(self, environment: str, job: str, model: Path, subject: Path, *more: str) -> list[str]:
        """Return the command that runs a job of ``speed_peers.py``."""
        return [*map(str, (self.interpreters[environment], PEERS, job, model, subject)), *more]

    def measured(self) -> dict[str, Path]:
        """Return the interpreters of the environments that are measured."""
        return {name: path for name, path in self.interpreters.items() if name != "distill"}


def prepare(cache: Path, teacher: Path, torch: str, names: Iterable[str] = IN_SPEED) -> Peers:
    """Make what is not in the cache yet.

    Args:
        cache: Where environments and models are kept.
        teacher: all-MiniLM-L6-v2 in the Hugging Face layout.
        torch: What pip installs as torch.
        names: The environments to make.

    Raises:
        RuntimeError: Something cannot be installed or the model cannot be distilled; the message says why.
    """
    if not (teacher / "config.json").is_file():
        raise RuntimeError(f"expected a Hugging Face model at {teacher}, found no config.json")
    interpreters = {name: environment(cache / name, torch, REQUIREMENTS[name]) for name in names}
    peers = Peers(interpreters, teacher.resolve(), cache / "static-256", cache / "minilm-onnx")
    if not (peers.static / "model.safetensors").is_file():
        print("  distilling the static model, once", file=sys.stderr)
        call(peers.command("distill", "distill", peers.teacher, peers.static), os.environ | OFFLINE)
    if "sentence" in interpreters and not (peers.onnx / "onnx" / "model.onnx").is_file():
        print("  writing the transformer as ONNX, once", file=sys.stderr)
        call(peers.command("sentence", "export", peers.teacher, peers.onnx), os.environ | OFFLINE)
    return peers


def environment(folder: Path, torch: str, requirements: tuple[str, ...]) -> Path:
    """Return the interpreter of an environment with just these packages, made when there is none; torch comes first."""
    python = folder / "bin" / "python"
    wanted = "\n".join(torch if name == "torch" else name for name in requirements) + "\n"
    stamp = folder / "installed.txt"
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    print(f"  installing {folder.name}, once", file=sys.stderr)
    call([sys.executable, "-m", "venv", "--clear", str(folder)], os.environ)
    for one in wanted.split():
        call([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", one], os.environ)
    stamp.write_text(wanted)
    return python


def call(command: list[str], variables: os._Environ[str] | dict[str, str]) -> None:
    done = subprocess.run(command, env=dict(variables), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-800:]}")
