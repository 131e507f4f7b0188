"""What measured numbers depend on: the machine, the commit, the versions of libraries."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PACKAGES = (
    "docsim",
    "model2vec",
    "vicinity",
    "txtai",
    "llm",
    "llm-sentence-transformers",
    "chromadb",
    "sentence-transformers",
    "torch",
    "transformers",
    "tokenizers",
    "numpy",
    "faiss-cpu",
    "hnswlib",
    "onnxruntime",
    "click",
)


def machine(interpreters: Mapping[str, Path]) -> dict[str, Any]:
    """Return the machine, docsim's libraries, and those of each peer's environment."""
    return {
        "cores": os.cpu_count(),
        "processor": processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "libraries": installed(sys.executable),
        "peers": {name: installed(path) for name, path in interpreters.items()},
    }


def processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def commit() -> str:
    """Return the commit, marked when the tree differs from it; empty outside a repository."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def installed(python: Path | str) -> dict[str, str]:
    """Return the versions, in an interpreter's environment, of the packages that speed depends on."""
    code = (
        "import importlib.metadata as m, json, sys;"
        " found = {d.metadata['Name'].lower().replace('_', '-'): d.version for d in m.distributions()};"
        " print(json.dumps({n: found[n] for n in sys.argv[1:] if n in found}))"
    )
    output = subprocess.run([str(python), "-c", code, *PACKAGES], capture_output=True, text=True, check=True).stdout
    return {str(name): str(version) for name, version in json.loads(output).items()}
