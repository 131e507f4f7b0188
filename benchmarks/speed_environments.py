"""The peers' own environments, made once in a cache directory, and the static model that they encode with.

model2vec    encodes; nothing else is installed that could slow its start
distill      makes the static model, with torch and transformers
txtai        indexes, with torch and transformers
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PEERS = HERE / "speed_peers.py"
TORCH = "torch==2.13.0+cpu"
REQUIREMENTS = {
    "model2vec": ("model2vec==0.10.0",),
    "distill": ("torch", "model2vec[distill,quantization]==0.10.0"),
    "txtai": ("torch", "txtai==9.14.0", "model2vec==0.10.0"),
}
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


@dataclass(frozen=True)
class Peers:
    """Interpreters by environment, and the models that the peers use."""

    interpreters: dict[str, Path]
    teacher: Path
    static: Path

    def command(self, environment: str, job: str, model: Path, subject: Path, *more: str) -> list[str]:
        """Return the command that runs a job of ``speed_peers.py``."""
        return [*map(str, (self.interpreters[environment], PEERS, job, model, subject)), *more]

    def versions(self) -> dict[str, dict[str, str]]:
        """Return the versions of what matters in each environment."""
        return {name: installed(path) for name, path in self.interpreters.items() if name != "distill"}


def prepare(cache: Path, teacher: Path, torch: str) -> Peers:
    """Make what is not in the cache yet.

    Raises:
        RuntimeError: Something cannot be installed or the model cannot be distilled; the message says why.
    """
    if not (teacher / "config.json").is_file():
        raise RuntimeError(f"expected a Hugging Face model at {teacher}, found no config.json")
    interpreters = {name: environment(cache / name, torch, names) for name, names in REQUIREMENTS.items()}
    peers = Peers(interpreters, teacher.resolve(), cache / "static-256")
    if not (peers.static / "model.safetensors").is_file():
        print("  distilling the static model, once", file=sys.stderr)
        call(peers.command("distill", "distill", peers.teacher, peers.static), os.environ | OFFLINE)
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


def installed(python: Path | str) -> dict[str, str]:
    """Return the versions, in an interpreter's environment, of the packages that speed depends on."""
    code = (
        "import importlib.metadata as m, json; names = ('docsim', 'model2vec', 'txtai', 'torch', 'transformers',"
        " 'tokenizers', 'numpy', 'faiss-cpu', 'onnxruntime', 'click');"
        " found = {d.metadata['Name'].lower(): d.version for d in m.distributions()};"
        " print(json.dumps({n: found[n] for n in names if n in found}))"
    )
    output = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout
    return {str(name): str(version) for name, version in json.loads(output).items()}
